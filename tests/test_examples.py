"""The scripts in examples/ run, and show what they promise."""

import runpy
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[1] / "examples"
SHOWN = {
    "own_cameras": "3 cameras show: ",
    "robot_data": "cubes/ep000004, 2 cameras: ",
    "paper_recipe": "dry run done: 2 small steps on a CPU",
    "motion_weights": "temperature    60: weights worth",
    "training_loop": "step 9: loss",
    "nearest_clips": "nearest to group S001P001R001A001",
    "arrays": "top-1",
    "compare_probes": "untrained        top-1 0.",
}


@pytest.mark.parametrize("name", SHOWN)
def test_an_example_runs(name, capsys, tmp_path, monkeypatch):
    monkeypatch.setenv("MV2MAE_CACHE", str(tmp_path))
    monkeypatch.setattr("sys.argv", [name])
    runpy.run_path(str(EXAMPLES / f"{name}.py"))
    assert SHOWN[name] in capsys.readouterr().out


def test_every_example_is_run_and_listed():
    names = {path.stem for path in EXAMPLES.glob("*.py")}
    listed = (EXAMPLES / "README.md").read_text(encoding="utf-8")
    assert names == set(SHOWN)
    assert all(f"[{name}.py]({name}.py)" in listed for name in names)
