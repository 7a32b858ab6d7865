"""The command line as a user meets it: help, bad input, exit status."""

import dataclasses
import json
import subprocess
import sys

import pandas as pd
import pytest
import torch

from mv2mae.cli import VERBS, main
from mv2mae.cli.main import parse
from mv2mae.errors import InputError


def run(capsys, *words):
    """Exit status, standard output, standard error."""
    status = main(list(words))
    said = capsys.readouterr()
    return status, said.out, said.err


@pytest.mark.parametrize("verb", sorted(VERBS))
def test_every_verb_has_help_with_an_example(verb, capsys):
    with pytest.raises(SystemExit) as stop:
        main([verb, "--help"])
    assert stop.value.code == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith(f"usage: mv2mae {verb}")
    assert lines[2] == f"example: {VERBS[verb].example}"
    assert VERBS[verb].example.split()[1] == verb.split()[0]


def test_without_a_verb_all_are_listed_in_groups_a_line_each(capsys):
    status, out, _ = run(capsys)
    assert status == 0
    lines = out.splitlines()
    for verb in VERBS:
        assert sum(line.startswith(f"  {verb} ") for line in lines) == 1, verb
    assert max(map(len, lines)) <= 80
    assert run(capsys, "--help")[1] == out


def test_the_first_of_two_words_lists_what_may_follow(capsys):
    for words in (["bench"], ["bench", "--help"]):
        status, out, err = run(capsys, *words)
        assert (status, err) == (0, "")
        assert "bench data" in out
        assert "pretrain" not in out
    assert run(capsys, "bench", "dota")[::2] == (
        1,
        "mv2mae: bench dota is not a verb; did you mean bench data? `mv2mae --help` lists all\n",
    )


def test_a_verb_under_its_old_name_says_the_new_one(capsys):
    status, _, err = run(capsys, "views", "runs/pretrain")
    assert (status, err) == (1, "mv2mae: views is called robustness now: `mv2mae robustness`, with the same options\n")


def parsed(name, *words):
    return parse(name, list(words))


@pytest.mark.parametrize(
    ("words", "each", "videos"),
    [
        (["run", "--each", "a.mp4", "b.mp4"], True, ["a.mp4", "b.mp4"]),
        (["run", "--each", "true", "a.mp4"], True, ["a.mp4"]),
        (["run", "a.mp4", "--each=false"], False, ["a.mp4"]),
        (["run", "a.mp4", "--each", "False", "b.mp4"], False, ["a.mp4", "b.mp4"]),
        (["run", "a.mp4", "--hop", "0.5", "--each"], True, ["a.mp4"]),
        (["run", "a.mp4"], False, ["a.mp4"]),
    ],
)
def test_a_switch_stands_alone_or_with_its_value(words, each, videos):
    args = parsed("predict", *words)
    assert (args.each, args.weights, args.videos) == (each, "run", videos)


def test_every_switch_of_every_verb_stands_alone():
    for verb, switches in {"check": ["strict", "quick"], "prepare": ["merge"], "synth": ["dry_run"]}.items():
        places = ["m.csv", "out"][: 2 if verb == "prepare" else 1]
        for switch in switches:
            assert getattr(parsed(verb, *places, f"--{switch}"), switch) is True
            assert getattr(parsed(verb, f"--{switch}", "false", *places), switch) is False
    assert parsed("finetune", "--data.flip", "--run", "r").data.flip is True


def test_options_may_be_written_with_hyphens():
    args = parsed("finetune", "--dry-run", "--labels-per-class", "5", "--data.frame-stride=3", "--from", "some-run")
    assert (args.dry_run, args.data.labels_per_class, args.data.frame_stride) == (True, 5, 3)
    assert args.init == "some-run"  # what is no option stays as it is
    assert parsed("predict", "run", "a.mp4", "--num-clips", "2").num_clips == 2
    with pytest.raises(InputError, match="--dry-ran"):
        parsed("finetune", "--dry-ran")


def test_few_labels_have_short_names_in_finetuning_alone(capsys):
    assert parsed("finetune", "--labels_per_class", "5").data.labels_per_class == 5
    assert parsed("finetune", "--label-fraction=0.1").data.label_fraction == 0.1
    with pytest.raises(InputError, match="--labels_per_class"):
        parsed("pretrain", "--labels_per_class", "5")
    with pytest.raises(SystemExit):
        main(["finetune", "--help"])
    assert "(short: --label_fraction)" in " ".join(capsys.readouterr().out.split())


def test_a_list_is_written_with_commas_or_in_brackets():
    for words in (["--actions", "wave"], ["--actions=[wave]"], ["--actions", '["wave"]']):
        assert parsed("synth", "out", *words).actions == ("wave",)
    args = parsed("synth", "out", "--actions", "wave,clap", "--subjects=3,5", "--setups", "2")
    assert (args.actions, args.subjects, args.setups) == (("wave", "clap"), (3, 5), (2,))
    data = parsed("pretrain", "--data.target_views", "1,left", "--model.tubelet_size", "2,8,8")
    assert (data.data.target_views, data.model.tubelet_size) == ((1, "left"), (2, 8, 8))
    assert parsed("probe", "run", "--probe.probes", "knn").probe.probes == ("knn",)


def test_what_only_trainings_heed_is_no_option_of_a_test(capsys):
    for verb in ("evaluate", "probe", "robustness", "extract"):
        with pytest.raises(SystemExit):
            main([verb, "--help"])
        said = capsys.readouterr().out
        assert "--data.frame_stride" in said
        assert "stream." not in said
        assert "--data.crop" not in said


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["pretrian"], "pretrian is not a verb"),
        (["pretrain", "--run", "x", "--model.foo", "3"], "--model.foo"),
        (["pretrain", "--model.num_frames", "many"], "--model.num_frames many: expected a whole number"),
        (["pretrain", "--optim.lr", "fast"], "--optim.lr fast: expected a number or null"),
        (["pretrain", "--model.masking", "tubes"], "expected random, tube or frame; did you mean tube?"),
        (["pretrain", "--model.tubelet_size", "2,8"], "[2, 8]: expected 3 whole numbers with commas between"),
        (["pretrain", "--compute.precision", "bf16"], "expected auto, 32-true, bf16-mixed, 16-mixed or null"),
        (["table", "7", "--size", "smal"], "--size smal: expected nothing, paper or small; did you mean small?"),
        (["table", "second-camra"], "did you mean second-camera?"),
        (["finetune", "--lables_per_class", "3"], "did you mean --labels_per_class?"),
        (["finetune", "--form", "x"], "did you mean --from?"),
        (["index", "folder", ".", "--out", "x.csv", "--probe", "false"], "--probe is called --media_info now"),
        (["index", "fodler", ".", "--out", "x.csv"], "did you mean folder?"),
        (["pretrain", "--run", "x", "--model.num_frames", "15"], "num_frames=15 is not a multiple of the tubelet's 2"),
        (["pretrain", "--run", "x", "--recipe", "nope"], "nope is neither a recipe nor a file; recipes: as-"),
        (["pretrain", "--recipe", "sample-pretrian"], "neither a recipe nor a file; did you mean sample-pretrain?"),
        (["pretrain", "--optim.stpes", "3"], "--optim.stpes is no option; did you mean --optim.steps?"),
        (["pretrain", "--steps", "3"], "--steps is no option; did you mean --optim.steps?"),
        (["evaluate", "x", "--num_crop", "3"], "did you mean --test.num_crops? `mv2mae evaluate --help` lists all"),
        (["pretrain", "--model.position_grid", "[2,8,8]"], "is not set any more, weights of `init` tell it; leave"),
        (["pretrain", "--zzz=1"], "--zzz is no option; `mv2mae pretrain --help` lists all"),
        (["pretrain", "--run", "x", "--data", "nope.parquet"], "no manifest at nope.parquet"),
        (["pretrain", "--run", "x", "--data.split", "ntu60/xset"], "choices for ntu60: ntu60/xsub, ntu60/xview"),
        (["pretrain", "--run", "x", "--data.train_query", "view == 1"], "manifest has no group with 2 views"),
        (["pretrain", "--recipe", "sample-pretrain", "--run", "x", "--optim.epochs", "3"], "exclude each other"),
        (["finetune", "--run", "x", "--from", "nowhere"], "nowhere: no such run folder or weights file"),
        (["evaluate", "nowhere"], "nowhere: no such run folder or weights file"),
        (["evaluate", "synthetic-small"], "holds a pretraining, no classifier"),
        (["predict", "nowhere", "a.mp4"], "nowhere"),
        (["index", "ntu61", ".", "--out", "x.csv"], "data set 'ntu61' is unknown"),
        (["index", "folder", "nowhere", "--out", "x.csv"], "no folder at nowhere"),
        (["synth", "x", "--actions", "dance"], "action 'dance' is unknown"),
        (["demo", "--minutes", "0"], "minutes=0.0 must be positive"),
        (["pretrain", "--run", "x", "--data=nope.parquet"], "no manifest at nope.parquet"),
        (["pretrain", "--run", "x", "--log.check_every", "0"], "check_every=0 must be at least 1"),
        (["pretrain", "--run", "x", "--optim.epochs", "null", "--optim.steps", "0"], "steps=0 must be at least 1"),
        (["pretrain", "--run", "x", "--compute.precision", "fp8"], "compute.precision"),
        (["pretrain", "--run", "x", "--model.tubelet_size", "[0,8,8]"], "tubelet_size=[0, 8, 8] must be positive"),
        (["finetune", "--run", "x", "--image_size", "48"], "image_size and num_frames go with --from; from scratch"),
        (["finetune", "--run", "x", "--num_frames", "8"], "set model.image_size, model.num_frames"),
        (["finetune", "--run", "x", "--num_repeats", "0"], "num_repeats=0 must be at least 1"),
        (["finetune", "--run", "x", "--num_repeats", "11"], "must be a multiple of num_repeats=11"),
    ],
)
def test_bad_input_is_one_clear_line_and_status_1(words, message, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    status, _, err = run(capsys, *words)
    assert status == 1
    assert message in err
    assert "Traceback" not in err
    if words[0] in VERBS:
        assert len(err.strip().splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


def test_a_recipe_fills_the_configuration_and_options_override_it(tmp_path, capsys, monkeypatch):
    recipe = tmp_path / "mine.yaml"
    recipe.write_text("model: {image_size: 64}\noptim: {steps: 5, epochs: null, lr: 0.1, base_lr: null}\n")
    seen = {}
    monkeypatch.setattr("mv2mae.train.pretrain.pretrain", lambda config, path: seen.update(config=config, path=path))
    monkeypatch.chdir(tmp_path)
    status, *_ = run(capsys, "pretrain", "--recipe", str(recipe), "--run", "r", "--optim.steps", "7", "--data", "m.csv")
    assert status == 0
    assert seen["config"].model.image_size == 64
    assert (seen["config"].optim.steps, seen["config"].optim.lr) == (7, 0.1)
    assert seen["config"].data.manifest == "m.csv"


def test_an_unknown_key_in_a_recipe_is_refused(tmp_path, capsys):
    recipe = tmp_path / "mine.yaml"
    recipe.write_text("model: {image_sise: 64}\n")
    status, _, err = run(capsys, "pretrain", "--recipe", str(recipe), "--run", "r")
    assert status == 1
    assert "image_sise" in err


def test_a_checkpoint_of_another_shape_is_refused(tmp_path, capsys):
    import torch
    from safetensors.torch import save_file

    from mv2mae.weights import packaged_weights, read_weights

    stored = read_weights("synthetic-small")
    tensors = {**stored.tensors, "encoder.embed.weight": torch.zeros(3, 3)}
    with open(packaged_weights()["synthetic-small"], "rb") as file:
        size = int.from_bytes(file.read(8), "little")
        header = json.loads(json.loads(file.read(size))["__metadata__"]["mv2mae"])
    header = {"mv2mae": json.dumps({name: value for name, value in header.items() if name != "seal"})}
    save_file(tensors, tmp_path / "other.safetensors", metadata=header)
    status, _, err = run(
        capsys, "finetune", "--recipe", "sample-finetune", "--from", str(tmp_path / "other.safetensors"),
        "--run", str(tmp_path / "run"),
    )  # fmt: skip
    assert status == 1
    assert "embed.weight has shape [3, 3], but this model needs [128, 768]" in err


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (TimeoutError(), "TimeoutError"),
        (OSError("a", "b"), "[Errno a] b"),
        (NotADirectoryError(20, "Not a directory", "a/b"), "a/b: not a directory"),
        (InputError("so\nit is"), "it is"),
    ],
)
def test_an_error_is_one_line_even_where_it_says_nothing(error, said, capsys, monkeypatch):
    def report(runs, out):
        raise error

    monkeypatch.setattr("mv2mae.reports.write.report", report)
    assert run(capsys, "report", "x") == (1, "", f"mv2mae report: error: {said}\n")


def test_a_file_that_is_no_safetensors_is_refused(tmp_path, capsys):
    (tmp_path / "model.safetensors").write_bytes(b"not weights at all")
    status, _, err = run(capsys, "evaluate", str(tmp_path))
    assert status == 1
    assert "not a readable safetensors file" in err


def test_a_run_tests_on_its_own_test_part_or_says_that_it_has_none(tmp_path, capsys, monkeypatch):
    seen = {}

    def evaluate(where, data, test, out, **options):
        seen.update(data=data, test=test)
        raise InputError("seen enough")

    monkeypatch.setattr("mv2mae.evaluate.run_test.evaluate", evaluate)
    (tmp_path / "model.safetensors").touch()
    settings = {"data": {"split": "synthetic/xsub", "frame_stride": 3}, "test": {"num_clips": 2}}
    (tmp_path / "config.yaml").write_text(json.dumps(settings))
    for words in ([str(tmp_path)], [str(tmp_path / "model.safetensors")]):
        run(capsys, "evaluate", *words)
        assert (seen["data"].split, seen["data"].frame_stride) == ("synthetic/xsub", 3)
        assert (seen["test"].num_clips, seen["test"].num_crops) == (2, 10)
    run(capsys, "evaluate", str(tmp_path), "--data.test_query", "view == 1")
    assert (seen["data"].split, seen["data"].test_query) == ("", "view == 1")


def test_index_sets_broken_videos_aside(tmp_path, capsys):
    from tiny_videos import even_times, write_video

    for view in (1, 2):
        write_video(tmp_path / "walk" / f"t1_{view}.mp4", even_times(10, 10))
    (tmp_path / "walk" / "t2_1.mp4").write_bytes(b"broken")
    (tmp_path / "walk" / "notes.mp4").write_bytes(b"broken too")
    out = tmp_path / "manifest.csv"
    status, said, _ = run(
        capsys, "index", "folder", str(tmp_path), "--pattern", "{label}/{group}_{view}.mp4", "--out", str(out)
    )
    assert status == 0
    assert "2 videos in 1 group" in said
    assert len(pd.read_csv(out)) == 2
    report = json.loads((tmp_path / "manifest.report.json").read_text())
    assert report["unmatched"] == ["walk/notes.mp4"]
    assert report["broken"][0][0].endswith("t2_1.mp4")
    assert json.loads((tmp_path / "manifest.classes.json").read_text()) == ["walk"]


def test_the_installed_command_works(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "mv2mae.cli", "recipes"], capture_output=True, text=True, check=True, cwd=tmp_path
    )
    assert "sample-pretrain" in done.stdout


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (
            torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB.\nSee"),
            "too small: CUDA out of memory; take",
        ),
        (
            torch.AcceleratorError("CUDA error: no kernel image is available\nCompile with"),
            "no kernel image is available; see",
        ),
    ],
)
def test_what_a_gpu_refuses_is_one_line(error, said, capsys, monkeypatch):
    def work(*args, **kwargs):
        raise error

    monkeypatch.setitem(VERBS, "recipes", dataclasses.replace(VERBS["recipes"], run=work))
    status, _, err = run(capsys, "recipes")
    assert status == 1
    assert said in err
    assert len(err.strip().splitlines()) == 1
