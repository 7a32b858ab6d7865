"""How tables are laid out: what is shared, what it costs, on which videos. No video is read."""

import dataclasses
import json
from functools import cache

import pandas as pd
import public_names
import pytest
from public_names import indexed
from small_tables import few_videos, planned, public_manifest, table_file

from mv2mae.config import FinetuneConfig, OptimConfig, PretrainConfig, TableConfig, VideosConfig
from mv2mae.data.manifest import make_frame, read_manifest, write_manifest
from mv2mae.data.rehearsal import made_up_rows
from mv2mae.errors import InputError
from mv2mae.tables.cost import costs_of, describe_plan, hours
from mv2mae.tables.plan import part_name, plan_table
from mv2mae.tables.spec import list_tables, load_table

SPLITS = {"ntu60": "ntu60/xsub", "ntu120": "ntu120/xsub", "etri": "etri/xsub", "nucla": "nucla/xview",
          "pkummd2": "pkummd2/xsub", "rocog": "rocog/ground", "synadl": "synadl"}  # fmt: skip


@cache
def rows_like(name: str) -> pd.DataFrame:
    """One performance of each class for training and test, as made up for dry runs; SynADL's twenty times as many."""
    rows = made_up_rows(SPLITS[name])
    if name == "synadl":
        rows = pd.concat([rows.assign(group=rows["group"] + f"-{k}") for k in range(20)], ignore_index=True)
    return make_frame(rows.assign(path=[f"/data/{name}/{k}.mp4" for k in range(len(rows))]))


def plan_of(name: str, folder, **options: object):
    table = load_table(name)
    data = tuple(
        public_manifest(known, rows_like(known), folder) if known != "any" else "sample" for known in table.data
    )
    return plan_table(table, TableConfig(data=data, out=folder / "out", **options))


@pytest.mark.parametrize("name", [name for name in list_tables() if name not in ("second-camera", "moving")])
def test_every_packaged_table_can_be_laid_out_on_its_data(name, tmp_path):
    plan = plan_of(name, tmp_path)
    assert len(plan.cells) == len(plan.table.rows) * len(plan.table.columns)
    assert all(cell.trainings for cell in plan.cells)
    assert len({part.name for part in plan.parts}) == len(plan.parts)
    assert all(cost.flops > 0 and cost.items > 0 for cost in costs_of(plan))
    assert not (tmp_path / "out").exists()  # a plan writes nothing


@pytest.mark.parametrize(("name", "split"), [("1", "synthetic/xview synthetic/xsub"), ("11", "synthetic/xsub")])
def test_at_the_small_size_the_division_is_the_generated_sets_of_the_same_kind(name, split, tmp_path):
    plan = plan_of(name, tmp_path, size="small")
    starts = [part.config for part in plan.parts if isinstance(part.config, PretrainConfig)]
    assert {config.model.image_size for config in starts} == {64}
    assert {config.optim.steps for config in starts} == {3000}
    assert list(dict.fromkeys(config.data.split for config in starts)) == split.split()
    if name == "11":
        assert [config.data.source_views for config in starts] == [(3,), (5,), (7,)]
    else:
        assert {config.mask_ratio for config in (start.model for start in starts)} == {0.8, 0.9}


def test_a_plan_has_the_papers_steps_on_the_published_lists(tmp_path):
    rows = indexed("ntu60", public_names.ntu(setups=range(1, 18))).frame
    manifest = public_manifest("ntu60", rows, tmp_path)
    plan = plan_table(load_table("1"), TableConfig(data=(manifest,), out=tmp_path, columns=("xsub",)))
    found = {(cost.part.stage, cost.items, cost.steps) for cost in costs_of(plan)}
    assert found == {("pretrain", 40_320, 126_000), ("finetune", 40_320, 1_378), ("test", 16_560, 0)}
    ours, videomae = (
        next(c.flops for c in costs_of(plan) if c.part is cell.trainings[0].parts[0].needs.needs)
        for cell in reversed(plan.cells)
    )
    assert ours == pytest.approx(1.0e19, rel=0.02)  # as the recipe says
    assert videomae / ours == pytest.approx(0.41, abs=0.01)


def test_what_rows_share_is_done_once(tmp_path):
    plan = plan_of("17", tmp_path, seeds=(2, 3))
    stages = [part.stage for part in plan.parts]
    assert {stage: stages.count(stage) for stage in set(stages)} == {"pretrain": 4, "finetune": 12, "test": 12}
    of_table_1 = plan_of("1", tmp_path, columns=("xsub",), rows=("MV2MAE",))
    assert {part.name for part in of_table_1.parts} < {part.name for part in plan.parts}
    assert all(len(users) == 2 for users in plan.users().values())


def test_names_follow_from_what_decides_the_result_alone(tmp_path):
    manifest, file = few_videos(tmp_path), table_file(tmp_path)
    names = [part.name for part in planned(file, manifest, tmp_path / "a").parts]
    speed = {stage: {"compute": {"num_workers": 3}, "log": {"log_every": 2}} for stage in ("pretrain", "finetune")}
    assert [part.name for part in planned(file, manifest, tmp_path / "b", settings=speed).parts] == names
    other = {"pretrain": {"optim": {"lr": 2e-3}}}
    changed = [part.name for part in planned(file, manifest, tmp_path, settings=other).parts]
    scratch = {part.name for part in planned(file, manifest, tmp_path, rows=("from scratch",)).parts}
    assert set(changed) & set(names) == scratch
    manifest.write_text(manifest.read_text().replace("\n", "\n", 1) + manifest.read_text().splitlines()[-1] + "x\n")
    with pytest.raises(InputError):  # a broken manifest is refused before anything
        planned(file, manifest, tmp_path)


def test_a_setting_that_came_later_does_not_rename_what_was_done_before(tmp_path):
    @dataclasses.dataclass(frozen=True, kw_only=True)
    class Later(PretrainConfig):
        added: int = 3

    data = planned(table_file(tmp_path), few_videos(tmp_path), tmp_path).sets["any"]
    old, new = PretrainConfig(seed=2), Later(seed=2)
    names = [part_name("pretrain", config, data) for config in (old, new, Later(seed=2, added=4))]
    assert names[0] == names[1] != names[2]


def test_parts_that_version_0_2_0_made_are_found_under_the_names_that_it_gave_them(tmp_path):
    file, manifest = table_file(tmp_path), few_videos(tmp_path)
    data = dataclasses.replace(planned(file, manifest, tmp_path).sets["any"], digest="d")
    start = PretrainConfig(seed=3, optim=OptimConfig(steps=9))
    assert part_name("pretrain", start, data, former=True) == "pretrain-a8f2e2d31da1"
    assert part_name("test", VideosConfig(split="ntu60/xsub"), data, former=True) == "test-c8d37ee55e64"
    plan = planned(file, manifest, tmp_path)
    part = next(part for part in plan.parts if part.stage == "pretrain")
    made = part_name("pretrain", part.config, part.data, former=True)
    (plan.options.parts / made).mkdir(parents=True)
    again = planned(file, manifest, tmp_path)
    assert made in {found.name for found in again.parts}
    assert part.name not in {found.name for found in again.parts}


def test_seeds_rows_and_columns_are_chosen(tmp_path):
    plan = planned(table_file(tmp_path), few_videos(tmp_path), tmp_path, seeds=(2, 2), rows=("0.9", "from scratch"))
    seeds = [part.config.seed for part in plan.parts if isinstance(part.config, FinetuneConfig)]
    assert sorted(seeds) == [0, 0, 1, 1, 1000, 1000, 1001, 1001]
    assert [len(cell.trainings) for cell in plan.cells] == [2, 2, 4, 4]  # from scratch each fine-tuning counts
    turns = [part.config.seed >= 1000 for part in plan.parts if isinstance(part.config, FinetuneConfig)]
    assert turns == sorted(turns)  # what is stopped has whole tables
    with pytest.raises(InputError, match=r"'0.8' is no row of the table; rows: 0.5, 0.9, from scratch"):
        planned(table_file(tmp_path), few_videos(tmp_path), tmp_path, rows=("0.8",))


def test_a_scaled_table_has_fewer_steps_and_performances_of_every_class(tmp_path):
    whole, part = plan_of("7", tmp_path, rows=("0.7",)), plan_of("7", tmp_path, rows=("0.7",), scale=0.01)
    steps = [[cost.steps for cost in costs_of(plan)] for plan in (whole, part)]
    assert steps[1][:2] == [max(2, round(count * 0.01)) for count in steps[0][:2]]
    data = part.parts[0].data
    assert data.frame["label"].nunique() == 120
    assert data.drawn_from.endswith("ntu120.parquet")


def test_figure_3_draws_as_many_synthetic_videos_as_there_are_real_ones(tmp_path):
    plan = plan_of("fig3", tmp_path)
    starts = [cell.trainings[0].parts[0].needs.needs for cell in plan.cells]
    real = len(rows_like("etri").query("subject % 3 != 0"))
    counts = [len(start.data.frame) for start in starts[1:]]
    assert counts == [pytest.approx(times * real, abs=4) for times in (1, 2, 4)]
    assert {start.config.optim.steps for start in starts} == {117_769}
    assert {start.config.data.split for start in starts[1:]} == {""}
    groups = [set(start.data.frame["group"]) for start in starts[1:]]
    assert groups[0] < groups[1] < groups[2]
    table, manifests = load_table("fig3"), (str(tmp_path / "etri.parquet"), str(few_videos(tmp_path)))
    with pytest.raises(InputError, match=r"row synthetic 1x needs 440 videos, and .*few.csv has 24; leave the row out"):
        plan_table(table, TableConfig(data=manifests, out=tmp_path, size="paper", split="etri/xsub"))


def test_equal_computation_is_counted_in_operations(tmp_path):
    plan = plan_of("second-camera", tmp_path, split="synthetic/xsub")
    flops = {
        plan.users()[cost.part.name][0].rpartition(",")[0]: cost.flops
        for cost in costs_of(plan)
        if cost.part.stage == "pretrain"
    }
    assert flops["VideoMAE, equal computation"] == pytest.approx(flops["MV2MAE"], rel=1e-3)
    assert flops["VideoMAE"] < 0.6 * flops["MV2MAE"]
    stages = [part.stage for part in plan.parts]
    assert stages.count("pretrain") == stages.count("probe") == stages.count("retrieval") == 8
    assert stages.count("finetune") == 2 * (4 * 2 * 5 + 2 * 5)
    empty = [(cell.row.name, cell.column.name) for cell in plan.cells if not cell.trainings]
    assert empty == [("from scratch", "probe"), ("from scratch", "retrieval")]


def test_a_column_may_test_on_another_data_set(tmp_path):
    """Static and moving cameras: one fine-tuning, tested on both."""
    still = read_manifest(few_videos(tmp_path))
    for name in ("static", "moving"):  # generated sets that differ in their cameras have the same manifest
        (tmp_path / name).mkdir()
        write_manifest(still, tmp_path / name / f"{name}.csv")
        motion = {"static": "none", "moving": "moving"}[name]
        (tmp_path / name / "synth.json").write_text(json.dumps({"config": {"camera_motion": motion}}))
    data = tuple(str(tmp_path / name / f"{name}.csv") for name in ("static", "moving"))
    options = TableConfig(data=data, out=tmp_path, split="synthetic/xsub")
    plan = plan_table(load_table("moving"), options)
    stages = [part.stage for part in plan.parts]
    # per training: static and moving, with and without motion weights; seven fine-tunings, each tested twice
    assert [stages.count(stage) for stage in ("pretrain", "finetune", "test")] == [3 * 4, 3 * 7, 3 * 14]
    for cell in plan.cells:
        for test in (part for training in cell.trainings for part in training.parts):
            assert test.data.manifest.endswith("static.csv" if cell.column.name == "static" else "moving.csv")
            assert test.config.manifest == test.data.manifest
            tuned = test.needs
            assert tuned.data.manifest.endswith("moving.csv" if cell.row.name == "all moving" else "static.csv")
    digests = {part.data.digest for part in plan.parts}
    for name in ("static", "moving"):  # as of prepared stores
        (tmp_path / name / "synth.json").unlink()
    apart = {part.data.digest for part in plan_table(load_table("moving"), options).parts}
    assert len(digests) == len(apart) == 2
    assert digests != apart
    trained = write_manifest(still.query("subject in [1, 2]"), tmp_path / "trained.csv")
    options = dataclasses.replace(options, data=(options.data[0], str(trained)))
    with pytest.raises(InputError, match="the test part of synthetic/xsub .* picks none of 12 videos"):
        plan_table(load_table("moving"), options)


def test_several_tests_share_the_trainings(tmp_path):
    queries = {"people": "subject > 2 and view != 3", "camera": "subject <= 2 and view == 3"}
    plan = planned(
        table_file(tmp_path), few_videos(tmp_path), tmp_path / "out", split="",
        train_query="subject <= 2 and view != 3", test_query="; ".join(f"{k}: {v}" for k, v in queries.items()),
        rows=("0.5",),
    )  # fmt: skip
    assert [part.stage for part in plan.parts] == ["pretrain", "finetune", "test", "test"]
    cells = {cell.column.name: cell for cell in plan.cells}
    assert list(cells) == ["single (people)", "single (camera)", "fused (people)", "fused (camera)"]
    assert cells["single (camera)"].column.title == "single view: camera"
    for name, query in queries.items():
        (test,) = cells[f"single ({name})"].trainings[0].parts
        assert test.config.test_query == query
        assert test.needs is plan.parts[1]
    assert cells["fused (people)"].trainings[0].parts == cells["single (people)"].trainings[0].parts
    assert cells["fused (camera)"].trainings == ()  # one view: nothing to fuse
    assert cells["single (people)"].row.paper == {}  # the paper has no value for it


@pytest.mark.parametrize("given", ["a: view == 1; view == 2", "a: view == 1; a: view == 2", "a:; b: view == 2", ";"])
def test_several_tests_need_a_name_and_a_query_each(given, tmp_path):
    with pytest.raises(InputError, match="several tests have names of their own"):
        TableConfig(data=("sample",), out=tmp_path, train_query="view == 3", test_query=given)


def test_a_manifest_of_another_data_set_is_refused(tmp_path):
    with pytest.raises(InputError) as error:
        plan_table(load_table("7"), TableConfig(data=(str(few_videos(tmp_path)),), out=tmp_path))
    assert "is not ntu120: it has 2 classes" in str(error.value)
    assert "--size small --split" in str(error.value)
    with pytest.raises(InputError, match=r"needs 2 manifests \(ntu60, nucla\), and 1 came"):
        plan_table(load_table("4"), TableConfig(data=("a.csv",), out=tmp_path))


def test_manifests_may_be_named(tmp_path):
    named = tuple(f"{name}={public_manifest(name, rows_like(name), tmp_path)}" for name in ("nucla", "ntu60"))
    plan = plan_table(load_table("4"), TableConfig(data=named, out=tmp_path))
    assert plan.sets["ntu60"].manifest.endswith("ntu60.parquet")


def test_the_plan_in_lines_says_what_is_to_do(tmp_path):
    lines = describe_plan(planned(table_file(tmp_path), few_videos(tmp_path), tmp_path, seeds=(2, 1)))
    assert lines[0].startswith("2 x pretrain  18 pairs, 3 steps each")
    assert lines[0].endswith(": 0.5, single; 0.5, fused")
    assert "16 of 16 parts to do" in lines[-1]
    assert "on an H100 at 35 % of its peak (assumed)" in lines[-1]
    assert [hours(s) for s in (4, 300, 7200)] == ["4 s", "5 min", "2.0 h"]


def test_a_column_without_a_recipe_says_so(tmp_path):
    with pytest.raises(InputError, match="column labels names no recipe for pretrain at the size paper"):
        planned("second-camera", few_videos(tmp_path), tmp_path, size="paper")


def test_own_settings_put_epochs_of_a_recipe_out_of_force(tmp_path):
    settings = {"pretrain": {"optim": {"steps": 7}}, "finetune": {"optim": {"steps": 5, "lr": 1e-3}}}
    plan = plan_of("3", tmp_path, settings=settings)
    assert {cost.steps for cost in costs_of(plan)} == {7, 5, 0}
