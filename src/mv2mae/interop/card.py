"""The model card of a run: what it is, what it saw, how it was trained, what it reached; from the run's own files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from mv2mae.errors import InputError
from mv2mae.evaluate.evaluate import RESULTS_NAME
from mv2mae.evaluate.results import Scored, TestResult
from mv2mae.evaluate.tables import span
from mv2mae.records import read_record
from mv2mae.runs import CONFIG_NAME, ENVIRONMENT_NAME, read_config
from mv2mae.weights import CLASSIFIER, PRETRAINING, StoredWeights

_TESTED = {"single_view": "single views", "fused": "views fused"}
_SAYS = {
    CLASSIFIER: "a classifier of actions in videos, of one camera or of several synchronised ones",
    PRETRAINING: "a video encoder with the decoders of its pre-training (masked autoencoding)",
}


def model_card(stored: StoredWeights, run: Path | None, name: str = "") -> str:
    """The card in Markdown, with the hub's header.

    Args:
        stored: the weights.
        run: folder of the run that made them, if it is there; its configuration and test figures are told.
        name: how the model is called.
    """
    name = name or (run.name if run is not None else stored.path.stem)
    tested = _test_of(run)
    parts = [
        f"---\n{yaml.safe_dump(_header(stored, name, run, tested), sort_keys=False, allow_unicode=True)}---",
        f"# {name}\n\n{_what(stored)}",
        f"## Use\n\n{_use(stored)}",
        *([f"## Training\n\n{_training(stored, run)}"] if run is not None and (run / CONFIG_NAME).is_file() else []),
        f"## Test\n\n{_test(stored, tested)}",
        *([f"## Classes\n\n{', '.join(map(str, stored.about['classes']))}"] if "classes" in stored.about else []),
    ]
    return "\n\n".join(parts) + "\n"


def _header(stored: StoredWeights, name: str, run: Path | None, tested: TestResult | None) -> dict[str, Any]:
    header: dict[str, Any] = {"library_name": "mv2mae", "tags": ["video", "multi-view", "masked-autoencoder"]}
    if stored.kind == CLASSIFIER:
        header["pipeline_tag"] = "video-classification"
    metrics = [
        {"type": "accuracy", "name": f"top-1, {said}", "value": round(scored.top1, 4)}
        for said, scored in _scored(tested).items()
    ]
    if metrics:
        dataset = {"name": _test_videos(run), "type": "video"}
        result = {"task": {"type": "video-classification"}, "dataset": dataset, "metrics": metrics}
        header["model-index"] = [{"name": name, "results": [result]}]
    return header


def _what(stored: StoredWeights) -> str:
    config = stored.config
    millions = sum(tensor.numel() for tensor in stored.tensors.values()) / 1e6
    size = f"{config.num_frames} x {config.image_size} x {config.image_size}"
    tubelet = " x ".join(map(str, config.tubelet_size))
    return (
        f"{_SAYS.get(stored.kind, 'a video encoder').capitalize()}, made with mv2mae: {millions:.2f} M parameters, "
        f"width {config.encoder_width}, {config.encoder_depth} blocks, clips of {size} in tubelets of {tubelet}."
    )


def _use(stored: StoredWeights) -> str:
    lines = ["import mv2mae", ""]
    if stored.kind == CLASSIFIER:
        lines += [
            'model = mv2mae.load_classifier("hf:OWNER/NAME")',
            'model.predict(["left.mp4", "right.mp4"]).ranked()',
        ]
    else:
        lines += [
            'encoder = mv2mae.load_encoder("hf:OWNER/NAME")',
            "tokens = encoder(clip)  # [b, 3, t, h, w] in [0, 1]",
        ]
    code = "\n".join(lines)
    stride, rate = stored.about.get("frame_stride"), stored.about.get("fps") or stored.about.get("video_fps")
    at = f" of videos of {rate:g} frames a second" if rate else ""
    clips = f"\n\nIts clips take {'every frame' if stride == 1 else f'one frame in {stride:g}'}{at}." if stride else ""
    return f"```python\n{code}\n```\n\nOr `mv2mae finetune --from hf:OWNER/NAME`, in a training of your own.{clips}"


def _training(stored: StoredWeights, run: Path) -> str:
    config = read_config(run)
    optim, data, counts = config.get("optim", {}), config.get("data", {}), stored.about.get("data", {})
    seen = ", ".join(f"{counts[key]:,} {key}" for key in ("groups", "videos", "views", "classes") if key in counts)
    manifest = Path(str(data.get("manifest", ""))).name or "not said"
    which = data.get("split") or data.get("train_query") or "all of it"
    start = config.get("init")
    steps = f"{stored.about['steps']:,} steps" if "steps" in stored.about else "steps not said"
    rows = {
        "Data": f"{manifest}, {which}" + (f": {seen}" if seen else ""),
        "Labels": "used" if stored.kind == CLASSIFIER else "not used",
        "Start": f"weights of {Path(str(start)).name or start}" if start else "from scratch",
        "Length": f"{steps} with batches of {optim.get('batch_size')}",
        "Optimiser": f"{optim.get('optimizer')}, weight decay {optim.get('weight_decay')}",
        "Seed": str(config.get("seed")),
    }
    if (run / ENVIRONMENT_NAME).is_file():
        versions = read_record(run / ENVIRONMENT_NAME).get("versions", {})
        rows["Made with"] = ", ".join(f"{key} {versions[key]}" for key in ("mv2mae", "torch") if key in versions)
    table = "\n".join(["| | |", "|---|---|", *(f"| {key} | {value} |" for key, value in rows.items())])
    return f"{table}\n\nAll settings stand in `{CONFIG_NAME}`."


def _test(stored: StoredWeights, tested: TestResult | None) -> str:
    rows = [
        f"| {said} | {scored.top1:.3f} | {span(scored.top1_interval, '.3f')} | {scored.num:,} |"
        for said, scored in _scored(tested).items()
    ]
    if not rows:
        how = " (`mv2mae evaluate RUN` before the export would tell)" if stored.kind == CLASSIFIER else ""
        return f"No test was made{how}."
    return "\n".join(["| | top-1 | 95 % interval | number |", "|---|---|---|---|", *rows])


def _scored(tested: TestResult | None) -> dict[str, Scored]:
    """What was scored, by its name in words."""
    found = {} if tested is None else tested.kinds()
    return {said: found[kind] for kind, said in _TESTED.items() if kind in found}


def _test_of(run: Path | None) -> TestResult | None:
    file = None if run is None else run / "evaluation" / RESULTS_NAME
    if file is None or not file.is_file():
        return None
    try:
        return TestResult.read(file)
    except InputError as error:
        raise InputError(f"{error}; test again, or move {file} away") from error


def _test_videos(run: Path | None) -> str:
    """What the run is tested on by itself."""
    if run is None or not (run / CONFIG_NAME).is_file():
        return "its test videos"
    data = read_config(run).get("data", {})
    return data.get("split") or Path(data.get("test_manifest") or data.get("manifest") or "its test videos").stem
