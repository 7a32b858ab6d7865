"""Exported models run elsewhere and give the same; in processes of their own, because shapes are not checked there."""

import importlib.util
import json
import subprocess
import sys

import numpy as np
import pytest
import torch
from tested import CLASSES, make_run, make_videos

from mv2mae.cli.main import main
from mv2mae.config import EvalConfig
from mv2mae.errors import InputError
from mv2mae.evaluate.predict import load_classifier
from mv2mae.interop.exported import load_exportable
from mv2mae.weights import read_weights

MISSING = [name for name in ("onnx", "onnxscript", "onnxruntime") if importlib.util.find_spec(name) is None]
needs_onnx = pytest.mark.skipif(bool(MISSING), reason=f"NOT TESTED: export to ONNX ({', '.join(MISSING)} missing)")

SCRIPT = """
import sys
from pathlib import Path
import torch
from mv2mae.interop.exported import load_exportable, write_exported
from mv2mae.weights import read_weights

torch.set_num_threads(1)
kind, run = sys.argv[1], Path(sys.argv[2])
for part, precisions in {"encoder": (False,), "classifier": (False,), "fused": (False, True)}.items():
    for half in precisions:
        out = run / f"{kind}-{part}-{half}"
        (note,) = write_exported(read_weights(run), out, kind=kind, part=part, half=half)
        assert note.startswith("largest difference"), note
        model = load_exportable(read_weights(run), part, half=half)
        for batch, views in ((1, 1), (1, 2), (5, 1), (3, 4)):
            shape = (batch, views) if part == "fused" else (batch,)
            clips = torch.rand(*shape, 3, 4, 32, 32)
            wanted = model(clips).detach()
            if kind == "onnx":
                import onnxruntime
                session = onnxruntime.InferenceSession(out / "model.onnx", providers=["CPUExecutionProvider"])
                found = torch.from_numpy(session.run(None, {"clips": clips.numpy()})[0])
            else:
                found = torch.export.load(out / "model.pt2").module()(clips)
            error = float((found - wanted).detach().abs().max())
            assert found.dtype == torch.float32
            assert error < (0.05 if half else 1e-4), (part, half, batch, views, error)
"""


def check(script, *words):
    done = subprocess.run([sys.executable, "-c", script, *map(str, words)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]


@pytest.mark.slow
@needs_onnx
def test_onnxruntime_gives_what_torch_gives(tmp_path):
    check(SCRIPT, "onnx", make_run(tmp_path))


@pytest.mark.slow
def test_torchs_exported_program_gives_the_same(tmp_path):
    check(SCRIPT, "torch", make_run(tmp_path))


COMPILED = """
import sys
import torch
from mv2mae.interop.exported import example_clips, load_exportable
from mv2mae.weights import read_weights

torch.set_num_threads(1)
stored = read_weights(sys.argv[1])
for part in ("encoder", "fused"):
    model, clips = load_exportable(stored, part), example_clips(stored, part)
    torch.testing.assert_close(torch.compile(model, fullgraph=True, backend="aot_eager")(clips), model(clips))
"""


@pytest.mark.slow
def test_each_part_compiles_into_one_graph(tmp_path):
    check(COMPILED, make_run(tmp_path))


@pytest.mark.slow
@pytest.mark.parametrize("kind", [pytest.param("onnx", marks=needs_onnx), "torch"])
def test_the_script_beside_it_predicts_without_this_package(kind, tmp_path):
    """It takes the one clip and crop that `mv2mae predict` would take."""
    run, rows = make_run(tmp_path / "run"), make_videos(tmp_path)
    export = "import sys; from mv2mae.cli.main import main; sys.exit(main(sys.argv[1:]))"
    check(export, "export", run, "--format", kind, "--part", "fused", "--out", tmp_path / "out")
    videos = rows[rows["group"] == "a"]["path"].tolist()
    blocked = f"import sys, runpy; sys.modules['mv2mae'] = None; sys.argv[1:] = {videos!r}\n"
    script = f"{blocked}runpy.run_path({str(tmp_path / 'out' / 'predict.py')!r}, run_name='__main__')"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=tmp_path)
    lines = [line.split("  ", 1) for line in done.stdout.splitlines()]
    found = {name: float(value) for value, name in lines}
    classifier = load_classifier(run)
    wanted = classifier.predict_each(rows[rows["group"] == "a"], EvalConfig(num_clips=1, num_crops=1))[0][0]
    assert [found[name] for name in CLASSES] == pytest.approx(wanted.probabilities.tolist(), abs=2e-3)
    assert json.loads((tmp_path / "out" / "preprocessing.json").read_text())["input"]["shape"] == [
        "batch",
        "views",
        3,
        4,
        32,
        32,
    ]


def test_the_script_is_short():
    from mv2mae.interop import standalone

    with open(standalone.__file__, encoding="utf-8") as file:
        assert len(file.readlines()) < 75


def test_what_cannot_be_exported_is_said(tmp_path, capsys):
    run = make_run(tmp_path)
    for words, problem in {
        ("--format", "coreml"): "format='coreml' is unknown; choose transformers",
        ("--format", "torch", "--part", "head"): "part='head' is unknown",
        ("--format", "transformers", "--half"): "go with --format onnx or torch",
    }.items():
        assert main(["export", str(run), *words, "--out", str(tmp_path / "o")]) == 1
        assert problem in capsys.readouterr().err
    with pytest.raises(InputError, match="--part encoder"):
        load_exportable(read_weights("synthetic-small"), "fused")


@torch.no_grad()
def test_half_precision_is_half(tmp_path):
    stored = read_weights(make_run(tmp_path))
    model = load_exportable(stored, "classifier", half=True)
    assert {p.dtype for p in model.parameters()} == {torch.float16}
    out = model(torch.rand(2, 3, 4, 32, 32))
    assert out.dtype == torch.float32
    assert np.isfinite(out.numpy()).all()
