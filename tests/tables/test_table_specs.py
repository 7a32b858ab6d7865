"""What a YAML of a table may say, and what is refused."""

import pytest
import yaml
from small_tables import table_file

from mv2mae.errors import InputError
from mv2mae.tables.options import seeds_from, settings_from
from mv2mae.tables.spec import list_tables, load_table, merged


def test_every_table_and_figure_of_the_paper_is_there_with_its_values():
    assert list(list_tables()) == [*map(str, range(1, 12)), "17", "fig3", "fig4", "moving", "second-camera"]
    values = {(name, row.name): dict(row.paper) for name in list_tables() for row in load_table(name).rows}
    assert values["1", "MV2MAE"] == {"xview": 95.9, "xsub": 90.0}
    assert values["2", "VideoMAE"] == {"xset": 82.4, "xsub": 79.7}
    assert [values["7", ratio]["xsub"] for ratio in ("0.6", "0.7", "0.8", "0.9")] == [83.6, 85.3, 84.3, 83.4]
    assert [values["8", size]["xsub"] for size in ("ViT-T", "ViT-S", "ViT-B")] == [82.0, 83.4, 85.1]
    assert values["9", "with"]["xset"] - values["9", "without"]["xset"] == pytest.approx(2.9)
    assert [values["10", n]["xsub"] for n in "123"] == [94.0, 93.9, 93.1]
    assert values["17", "all views fused"] == {"ntu60": 91.9, "ntu120": 87.9}


def test_the_long_names_of_tables_are_known_too():
    assert load_table("7").title == load_table("table 7").title == load_table("Table7").title
    with pytest.raises(InputError, match=r"fig5 is no table and no YAML file; did you mean fig4\?"):
        load_table("fig5")


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"rows": [{"nome": "a"}]}, "give a mapping with a name"),
        ({"rows": []}, "rows is missing"),
        ({"rows": [{"name": "a"}, {"name": "a"}]}, "rows need names of their own"),
        ({"rows": [{"name": "a", "pretrain": {"modle": {}}}]}, "modle is unknown; did you mean model?"),
        ({"rows": [{"name": "a", "papers": 3}]}, "papers is unknown; did you mean paper?"),
        ({"compare": [["0.5", "0.7"]]}, "compare names '0.7'; rows: 0.5, 0.9"),
        ({"columns": {"a": {"title": "A", "pretrain": {"recipe": "x"}}}}, "top1 needs finetune with a recipe"),
        ({"columns": {"a": {"title": "A", "measure": "f1", "pretrain": {"recipe": "x"}}}}, "measure='f1'; choose top1"),
        (
            {
                "columns": {
                    "single": {"title": "A", "pretrain": {"recipe": "x"}, "finetune": {"recipe": "x"}, "test_on": "b"}
                }
            },
            "data_set='b'; data: any",
        ),
        ({"seeds": [0, 1]}, "must be at least 1"),
        ({"colums": {}}, "colums is unknown; did you mean columns?"),
    ],
)
def test_what_is_wrong_in_a_table_is_told_in_a_line(changes, problem, tmp_path):
    with pytest.raises(InputError) as error:
        load_table(table_file(tmp_path, **changes))
    assert problem in str(error.value)
    assert "\n" not in str(error.value)


def test_blocks_are_laid_over_each_other_and_recipes_follow():
    made = merged({"recipe": "a", "model": {"x": 1, "y": 1}}, {"recipe": ["b"], "model": {"y": 2}, "ema_decay": 0.9})
    assert made == {"recipe": ["a", "b"], "model": {"x": 1, "y": 2}, "ema_decay": 0.9}


def test_seeds_and_settings_as_people_give_them(tmp_path):
    assert (seeds_from(""), seeds_from("3"), seeds_from("2x5")) == (None, (3, 1), (2, 5))
    with pytest.raises(InputError, match="seeds='two'"):
        seeds_from("two")
    file = tmp_path / "over.yaml"
    file.write_text(yaml.safe_dump({"pretrain": {"compute": {"devices": 8}}}))
    assert settings_from(str(file)) == {"pretrain": {"compute": {"devices": 8}}}
    file.write_text("pretraining: {}")
    with pytest.raises(InputError, match="give pretrain and finetune"):
        settings_from(str(file))
