"""Models as ONNX or as torch's own exported programs: one file that runs without this package.

Beside it lie `preprocessing.json`, which says what to feed it, and `predict.py`, which does so.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from mv2mae.data.augment import eval_short_side
from mv2mae.errors import InputError
from mv2mae.files import atomic_write, write_json, write_text
from mv2mae.interop import standalone
from mv2mae.weights import CLASSIFIER, StoredWeights, load_classifier_model, load_encoder

PARTS = ("encoder", "classifier", "fused")
FILES = {"onnx": "model.onnx", "torch": "model.pt2"}
_OUTPUTS = {"encoder": "tokens", "classifier": "logits", "fused": "probabilities"}


class Exported(nn.Module):
    """What is exported: float32 in and out, computed in the precision of the model."""

    def __init__(self, model: nn.Module, part: str) -> None:
        super().__init__()
        self.model, self.part = model, part
        self.dtype = next(model.parameters()).dtype

    def forward(self, clips: Float[Tensor, "b *v 3 t h w"]) -> Float[Tensor, "b ..."]:
        """Tokens [b, n, d] or logits [b, k] of clips; or probabilities [b, k] of v views each, averaged over them."""
        if self.part != "fused":
            return self.model(clips.to(self.dtype)).float()
        b, v = clips.shape[:2]
        scores = self.model(clips.flatten(0, 1).to(self.dtype)).float().softmax(dim=-1)
        return scores.unflatten(0, (b, v)).mean(dim=1)


def load_exportable(stored: StoredWeights, part: str, *, half: bool = False) -> Exported:
    """The part of a model that is to be exported, in evaluation mode.

    Raises:
        InputError: an unknown part, or one that the model does not have.
    """
    if part not in PARTS:
        raise InputError(f"part={part!r} is unknown; choose {', '.join(PARTS)}")
    if part != "encoder" and stored.kind != CLASSIFIER:
        raise InputError(f"{stored.path} holds a {stored.kind}, of which the encoder can be exported: --part encoder")
    model: nn.Module = load_encoder(stored.path) if part == "encoder" else load_classifier_model(stored.path)[0]
    return Exported(model.half() if half else model, part).eval()


def write_exported(
    stored: StoredWeights, out: str | Path, *, kind: str, part: str = "", half: bool = False
) -> list[str]:
    """Write `model.onnx` or `model.pt2` with what belongs to it; returns what there is to know, in lines.

    Args:
        kind: onnx or torch.
        part, half: as in `export`; input and output stay float32.

    Raises:
        InputError: the model has no such part, or onnx and onnxscript are not installed.
    """
    out = Path(out)
    part = part or ("classifier" if stored.kind == CLASSIFIER else "encoder")
    model = load_exportable(stored, part, half=half)
    example = example_clips(stored, part)
    out.mkdir(parents=True, exist_ok=True)
    with atomic_write(out / FILES[kind], durable=True) as temporary, _quiet():
        if kind == "onnx":
            _write_onnx(model, example, temporary)
        else:
            torch.export.save(torch.export.export(model, (example,), dynamic_shapes=_sizes(model)), temporary)
    for other in set(FILES.values()) - {FILES[kind]}:  # what described it is overwritten
        (out / other).unlink(missing_ok=True)
    write_json(out / "preprocessing.json", preprocessing(stored, part, half=half))
    write_text(out / "predict.py", Path(standalone.__file__).read_text(encoding="utf-8"))
    return [_compared(model, example, out / FILES[kind])]


def example_clips(stored: StoredWeights, part: str) -> Tensor:
    """Noise of the right size: two clips, or two performances of three views."""
    config = stored.config
    views = (3,) if part == "fused" else ()
    shape = (2, *views, 3, config.num_frames, config.image_size, config.image_size)
    return torch.rand(shape, generator=torch.Generator().manual_seed(0))


def preprocessing(stored: StoredWeights, part: str, *, half: bool) -> dict[str, Any]:
    """What to feed an exported model, and what it gives; for people and for `predict.py`."""
    config, about = stored.config, stored.about
    size = config.image_size
    views = ["views"] if part == "fused" else []
    rate = about.get("fps") or about.get("video_fps")
    values = {
        "part": part,
        "input": {
            "name": "clips",
            "shape": ["batch", *views, 3, config.num_frames, size, size],
            "dtype": "float32",
            "values": "RGB in [0, 1]; the model normalises colours itself",
        },
        "output": {"name": _OUTPUTS[part], "dtype": "float32"},
        "computed_in": "float16" if half else "float32",
        "num_frames": config.num_frames,
        "frame_stride": about.get("frame_stride", 4),
        "frames_per_second": rate,
        "frame_stride_means": "frames at frames_per_second, or at the video's own rate where that is null",
        "resize_short_side": eval_short_side(size),
        "centre_crop": size,
    }
    return {**values, "classes": about["classes"]} if part != "encoder" else values


def _write_onnx(model: Exported, example: Tensor, path: Path) -> None:
    try:
        import onnx  # noqa: F401 - torch says less clearly what is missing
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise InputError("--format onnx needs onnx and onnxscript; pip install 'mv2mae[onnx]'") from error
    program = torch.onnx.export(
        model,
        (example,),
        dynamo=True,
        dynamic_shapes=_sizes(model),
        input_names=["clips"],
        output_names=[_OUTPUTS[model.part]],
        verbose=False,
    )
    assert program is not None
    program.save(str(path), external_data=False)


def _sizes(model: Exported) -> dict[str, Any]:
    """The axes of the input whose length may change."""
    free: dict[int, Any] = {0: torch.export.Dim("batch")}
    return {"clips": free | ({1: torch.export.Dim("views")} if model.part == "fused" else {})}


@torch.no_grad()
def _compared(model: Exported, example: Tensor, path: Path) -> str:
    """How far the written model is from the one here, on noise."""
    clips = torch.cat([example, example.flip(-1)])[:3]  # not the batch that was traced
    wanted = model(clips)
    if path.suffix == ".onnx":
        try:
            import onnxruntime
        except ImportError:
            return "not compared with torch: onnxruntime is not installed"
        session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
        found = torch.from_numpy(session.run(None, {"clips": clips.numpy()})[0])
    else:
        found = torch.export.load(path).module()(clips)
    return f"largest difference to the model here: {float((found - wanted).abs().max()):.1e}"


@contextmanager
def _quiet() -> Iterator[None]:
    """The exporter talks of operators that this model does not have."""
    log = logging.getLogger("torch.onnx")
    level = log.level
    log.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        log.setLevel(level)
