"""A table from end to end: trained, tested, stopped, gone on with, and written."""

import json
import math

import numpy as np
import pandas as pd
import pytest
import yaml
from small_tables import few_videos, planned, table_file

from mv2mae.cli import main
from mv2mae.errors import InputError
from mv2mae.tables import work as working
from mv2mae.tables.figure import figure_of
from mv2mae.tables.measure import results_of
from mv2mae.tables.work import is_done, work
from mv2mae.tables.write import columns_drawn

VERBS = ("pretrain", "finetune", "evaluate", "probe", "retrieval")


@pytest.fixture
def done(monkeypatch):
    """What is carried out, in order."""
    names = []
    for verb in VERBS:
        original = getattr(working, verb)

        def counting(*args, _verb=verb, _original=original, **options):
            names.append(_verb)
            return _original(*args, **options)

        monkeypatch.setattr(working, verb, counting)
    return names


def frozen_columns(file):
    """Columns of frozen features with the same pre-training."""
    values = yaml.safe_load(file.read_text())
    pretrain = values["columns"]["single"]["pretrain"]
    for measure in ("probe", "retrieval"):
        values["columns"][measure] = {"title": measure, "measure": measure, "pretrain": pretrain}
    file.write_text(yaml.safe_dump(values, sort_keys=False))
    return file


def test_a_table_from_end_to_end_and_again(tmp_path, done, capsys, monkeypatch):
    monkeypatch.setenv("MV2MAE_CACHE", str(tmp_path / "cache"))
    file, manifest, out = frozen_columns(table_file(tmp_path)), few_videos(tmp_path), tmp_path / "out"
    words = [
        "table",
        str(file),
        "--data",
        str(manifest),
        "--out",
        str(out),
        "--split",
        "synthetic/xsub",
        "--seeds",
        "2",
    ]
    assert main([*words, "--dry_run"]) == 0
    assert "24 of 24 parts to do" in capsys.readouterr().out
    assert not out.exists()
    assert main(words) == 0
    said = capsys.readouterr().out
    assert {verb: done.count(verb) for verb in VERBS} == {
        "pretrain": 4,
        "finetune": 6,
        "evaluate": 6,
        "probe": 4,
        "retrieval": 4,
    }
    assert "0.5 - 0.9, single view: " in said
    assert {path.name for path in out.glob("table.*")} == {
        f"table.{end}" for end in ("html", "md", "csv", "json", "png")
    }
    values = json.loads((out / "table.json").read_text())
    assert (values["missing"], values["seeds"], values["scale"]) == ([], [2, 1], 1.0)
    cells = {(cell["row"], cell["column"]): cell for cell in values["cells"]}
    cell = cells["0.5", "single"]
    assert (cell["paper"], cell["answers"], cell["clips_x_crops"], cell["trainings"]) == (
        0.6,
        cell["answers"],
        "1 x 1",
        2,
    )
    folders = [out / "parts" / names[0] for names in cell["parts"]]
    top1 = [json.loads((folder / "evaluation.json").read_text())["single_view"]["top1"] for folder in folders]
    assert cell["each"] == pytest.approx(top1)
    assert cell["value"] == pytest.approx(np.mean(top1))
    assert cell["seconds"] > 0
    assert cell["operations"] > 0
    assert cells["from scratch", "probe"]["value"] is None
    assert all(0 <= cell["value"] <= 1 for cell in values["cells"] if cell["trainings"])
    comparisons = values["comparisons"]
    assert len(comparisons) == 6  # from scratch has nothing frozen
    assert comparisons[0]["difference"] == pytest.approx(
        cells["0.5", "single"]["value"] - cells["0.9", "single"]["value"]
    )
    assert comparisons[0]["paper"] == pytest.approx(0.1)
    assert all(c["p_holm"] >= c["p"] and c["counts_trainings"] for c in comparisons)
    table = pd.read_csv(out / "table.csv")
    assert (
        list(table["row"].unique()) == ["0.5", "0.9", "from scratch"]
        or list(table["row"].unique())[2] == "from scratch"
    )
    markdown = (out / "table.md").read_text()
    assert "| 0.5 | " in markdown
    assert "| 60.0 |" in markdown
    page = (out / "table.html").read_text()
    assert "Two masking ratios" in page
    assert "<svg" in page
    done.clear()
    assert main(words) == 0  # nothing is run twice
    assert done == []
    assert main([*words, "--rows", "0.5;0.9", "--seeds", "1"]) == 0  # nor for fewer rows and seeds
    assert done == []


def test_a_table_without_an_axis_is_drawn_as_points_a_row(tmp_path):
    values = {"x_title": "", "rows": [{"name": "from scratch", "pretrain": None, "paper": {"single": 60.0}}]}
    plan = planned(table_file(tmp_path, **values, compare=[]), few_videos(tmp_path), tmp_path / "out")
    results = results_of(plan)
    assert [column.name for column, _ in columns_drawn(results)] == ["single"]  # nothing is known of the other
    (axis,) = figure_of(results, columns_drawn(results)).axes
    assert [text.get_text() for text in axis.get_yticklabels()] == ["from scratch"]
    (paper,) = axis.lines
    assert paper.get_xydata().tolist() == [[60.0, 0.0]]
    work(plan, device="cpu")
    done = results_of(plan)
    _, fused = figure_of(done, columns_drawn(done)).axes
    measured = done.of("from scratch", "fused").estimate
    assert fused.lines[0].get_xydata().tolist() == [[100 * measured.value, 0.0]]
    assert [text.get_text() for text in fused.get_yticklabels()] == [""]  # named on the left alone


def test_a_stopped_table_goes_on_and_is_written_as_far_as_it_is(tmp_path, done, monkeypatch, capsys):
    file, manifest, out = table_file(tmp_path), few_videos(tmp_path), tmp_path / "out"
    plan = planned(file, manifest, out, columns=("single",), rows=("0.5", "0.9"))
    original = working.finetune

    def stopped(*args, **options):
        original(*args, **options)
        raise KeyboardInterrupt

    monkeypatch.setattr(working, "finetune", stopped)
    with pytest.raises(KeyboardInterrupt):
        work(plan)
    monkeypatch.setattr(working, "finetune", original)
    assert [is_done(part, out / "parts") for part in plan.parts] == [True, True, False, False, False, False]
    results = results_of(plan)
    assert len(results.missing) == 4
    assert {cell.estimate for cell in results.cells} == {None}
    words = [
        "--data",
        str(manifest),
        "--out",
        str(out),
        "--split",
        "synthetic/xsub",
        "--columns",
        "single",
        "--rows",
        "0.5,0.9",
    ]
    assert main(["table", str(file), *words, "--collect"]) == 0
    said = capsys.readouterr().out
    assert "4 of 6 parts are not done" in said
    assert "not run" in (out / "table.md").read_text()
    done.clear()
    work(plan)
    assert done.count("pretrain") == 0
    results = results_of(plan)
    assert results.missing == ()
    one = results.of("0.5", "single")
    assert one.estimate is not None
    assert not one.estimate.counts_trainings
    assert "say nothing of another training" in results.scope
    assert math.isfinite(results.comparisons[0].estimate.p)


def test_other_settings_do_not_mix(tmp_path):
    file, manifest, out = table_file(tmp_path), few_videos(tmp_path), tmp_path / "out"
    plan = planned(file, manifest, out, columns=("single",), rows=("0.5",))
    work(plan)
    for changes, what in (({"scale": 0.5}, "scale"), ({"split": "synthetic/xsub-xview"}, "chosen.split")):
        with pytest.raises(InputError, match=f"holds a table made with other settings \\(.*{what}"):
            work(planned(file, manifest, out, columns=("single",), rows=("0.5",), **changes))
    folder = plan.parts[0].folder(out / "parts")
    config = yaml.safe_load((folder / "config.yaml").read_text())
    config["optim"]["lr"] = 0.5
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    with pytest.raises(InputError, match=r"holds a run with other settings \(optim.lr\)"):
        work(plan)


def test_a_part_that_fails_is_told_and_the_others_are_done(tmp_path, monkeypatch):
    file, manifest, out = table_file(tmp_path), few_videos(tmp_path), tmp_path / "out"
    plan = planned(file, manifest, out, columns=("single",), rows=("0.5", "from scratch"))
    original = working.pretrain

    def failing(config, run):
        raise InputError("the disk is full")

    monkeypatch.setattr(working, "pretrain", failing)
    with pytest.raises(
        InputError, match=r"1 of 5 parts failed and 2 more wait for them; pretrain-\w+: the disk is full"
    ):
        work(plan)
    assert sum(is_done(part, out / "parts") for part in plan.parts) == 2
    monkeypatch.setattr(working, "pretrain", original)
    work(plan)
    assert all(is_done(part, out / "parts") for part in plan.parts)


def test_one_part_alone_wants_what_it_needs(tmp_path):
    plan = planned(table_file(tmp_path), few_videos(tmp_path), tmp_path / "out", columns=("single",), rows=("0.5",))
    names = [part.name for part in plan.parts]
    with pytest.raises(InputError, match=f"{names[1]} needs {names[0]}, which is not done"):
        work(plan, only=names[1])
    work(plan, only=names[0])
    assert [is_done(part, tmp_path / "out/parts") for part in plan.parts] == [True, False, False]
    with pytest.raises(InputError, match="pretrain-0 is no part of this table"):
        work(plan, only="pretrain-0")


def test_a_scaled_table_writes_its_own_manifests(tmp_path):
    file, out = table_file(tmp_path), tmp_path / "out"
    plan = planned(file, few_videos(tmp_path), out, columns=("single",), rows=("from scratch",), scale=0.67)
    work(plan)
    data = plan.parts[0].data
    assert data.drawn_from.endswith("few.csv")
    assert pd.read_parquet(data.manifest)["group"].nunique() == 6  # of 16, two of each class and part at least
    assert results_of(plan).cells[0].estimate is not None


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        ([], "which table?"),
        (["7"], "table 7 needs --data MANIFEST"),
        (["7", "--data", "sample"], "table 7 needs --out FOLDER"),
        (["70", "--data", "sample", "--out", "x"], "70 is no table"),
        (["7", "--data", "sample", "--out", "x"], "is not ntu120"),
        (["7", "--data", "sample", "--out", "x", "--scale", "2"], "scale=2.0 must lie in (0, 1]"),
        (["7", "--data", "sample", "--out", "x", "--train_query", "view == 1"], "go together"),
    ],
)
def test_bad_input_of_the_verb_is_a_line(words, problem, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["table", *words]) == 1
    error = capsys.readouterr().err
    assert problem in error
    assert error.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_the_list_of_tables_is_printed(capsys):
    assert main(["table", "--list"]) == 0
    assert "  7              Table 7: masking ratio\n" in capsys.readouterr().out
