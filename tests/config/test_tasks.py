"""Settings of the other task: old runs and recipes that name them, commands that give them."""

import shutil
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from mv2mae.cli.main import main
from mv2mae.config import ClipConfig, FinetuneConfig, PairConfig, PretrainConfig
from mv2mae.errors import InputError
from mv2mae.recipes import load_recipe
from mv2mae.runs import check_positions, check_run, plain, read_config

STORED = Path(__file__).parents[1] / "stored"
"""Of the last version in which both tasks had all settings of the data; each sets one of the other task's."""
OLD = {
    "pretrain": (PretrainConfig, "flip", ("true", "false"), "fine-tuning (`mv2mae finetune`)", "pre-training"),
    "finetune": (FinetuneConfig, "num_sources", ("2", "1"), "pre-training (`mv2mae pretrain`)", "fine-tuning"),
}


@pytest.mark.parametrize("task", OLD)
def test_an_old_run_says_what_had_no_effect_and_keeps_the_rest(task, tmp_path, caplog):
    kind, name, (value, default), other, own = OLD[task]
    file = tmp_path / "config.yaml"
    shutil.copy(STORED / f"{task}-config.yaml", file)
    stored = read_config(tmp_path)["data"]
    stored.pop("stream", None)  # to which a later version may add
    assert set(stored) <= set(kind().data.__dataclass_fields__)
    assert [record.getMessage() for record in caplog.records] == [
        f"{file}: data.{name} is a setting of {other} and has no effect on {own}"
    ]
    as_recipe = tmp_path / "recipe.yaml"
    as_recipe.write_text(file.read_text().replace(f"  {name}: {value}\n", f"  {name}: {default}\n"))
    made = plain(load_recipe(as_recipe, kind).data)
    assert stored == {part: made[part] for part in stored}
    with pytest.raises(InputError, match=rf"config.yaml: data.{name} is a setting of {other[:11]}.*; leave it"):
        load_recipe(file, kind)


def test_old_settings_at_their_default_are_dropped_without_a_word(tmp_path, caplog):
    text = (STORED / "finetune-config.yaml").read_text().replace("num_sources: 2", "num_sources: 1")
    (tmp_path / "config.yaml").write_text("\n".join(text.splitlines()[1:]))  # without the seal of what was written
    assert "stream" not in read_config(tmp_path)["data"]
    assert not caplog.records


def test_a_run_of_before_some_settings_existed_goes_on(tmp_path):
    shutil.copy(STORED / "pretrain-config.yaml", tmp_path / "config.yaml")
    new = {"model": "decoded_share", "data": "augment_alike", "optim": "muon_lr"}
    values = read_config(tmp_path)
    assert "self_view_attention" not in values["model"]
    assert "camera_motion" not in values["data"]["stream"]
    config = load_recipe(tmp_path / "config.yaml", PretrainConfig, data={"flip": False})
    check_run(tmp_path, config)
    for section, name in new.items():
        del values[section][name]
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(values))
    check_run(tmp_path, config)
    for section, name, value in (("model", "decoded_share", 0.5), ("data", "augment_alike", True)):
        other = replace(getattr(config, section), **{name: value})
        with pytest.raises(InputError, match=rf"holds a run with other settings \({section}.{name}\)"):
            check_run(tmp_path, replace(config, **{section: other}))
    del values["data"]["held_out_share"]  # before it, other videos were held out
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(values))
    with pytest.raises(InputError, match=r"other settings \(data.held_out_share\)"):
        check_run(tmp_path, config)


def test_a_setting_that_became_state_is_left_out(tmp_path, caplog):
    for value, told in (("null", 0), ("[2, 4, 4]", 1)):
        (tmp_path / "config.yaml").write_text(f"model: {{num_frames: 8, position_grid: {value}}}\nseed: {told}\n")
        assert read_config(tmp_path)["model"] == {"num_frames": 8}
        assert len(caplog.records) == told
    with pytest.raises(InputError, match="model.position_grid is not set any more, weights of `init` tell it; leave"):
        load_recipe(tmp_path / "config.yaml", PretrainConfig)


@pytest.mark.parametrize(
    ("command", "tasks"),
    [
        ("pretrain --data.flip true", "fine-tuning (`mv2mae finetune`)"),
        ("finetune --data.num-repeats 2", "pre-training (`mv2mae pretrain`)"),
        ("probe runs/x --data.crop centre", "pre-training (`mv2mae pretrain`) and fine-tuning (`mv2mae finetune`)"),
    ],
)
def test_an_option_of_another_task_is_named(command, tasks, capsys):
    verb, option = command.split()[0], next(word for word in command.split() if word.startswith("--"))
    assert main(command.split()) == 1
    said = capsys.readouterr().err
    assert said == f"mv2mae {verb}: error: {option} is an option of {tasks}, not of `mv2mae {verb}`; leave it out\n"


def test_a_recipe_of_another_task_is_told(capsys):
    assert main(["finetune", "--recipe", "as-videomae"]) == 1
    assert "recipe as-videomae: data.synchronised is a setting of pre-training" in capsys.readouterr().err


def test_settings_of_another_task_are_refused_from_python_too():
    with pytest.raises(InputError, match="data of pre-training is a PairConfig, not ClipConfig"):
        PretrainConfig(data=ClipConfig())  # type: ignore[arg-type]
    with pytest.raises(InputError, match="data of fine-tuning is a ClipConfig, not PairConfig"):
        FinetuneConfig(data=PairConfig())  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("told", "now", "fits"),
    [
        ("position_grid: null", None, True),
        ("position_grid: [2, 8, 8]", None, True),
        ("position_grid: [2, 4, 4]", (2, 4, 4), True),
        ("position_grid: [2, 8, 8]", (2, 4, 4), False),
        ("position_grid: null", (2, 4, 4), False),
        ("num_frames: 8", (2, 4, 4), True),
    ],
)
def test_a_run_of_version_0_2_0_goes_on_only_with_its_positions(told, now, fits, tmp_path):
    (tmp_path / "config.yaml").write_text(f"model: {{{told}}}\n")
    refused = nullcontext() if fits else pytest.raises(InputError, match="begun by version 0.2.0 with positions of")
    with refused:
        check_positions(tmp_path, (2, 8, 8), now)
    check_positions(tmp_path / "new", (2, 8, 8), now)


def test_names_of_before_still_serve_scripts():
    import mv2mae.config
    from mv2mae.data import video

    with pytest.warns(DeprecationWarning, match="DataConfig is PairConfig"):
        assert mv2mae.config.DataConfig is PairConfig
    assert not hasattr(mv2mae.config, "ClipsConfig")
    assert video.probe is video.read_info
