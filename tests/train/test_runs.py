"""Whole runs on a few videos of the sample set: what they write, how they go on, what they refuse."""

import dataclasses
import json
from pathlib import Path

import pandas as pd
import pytest
import torch
import yaml
from power_cut import power_cut

from mv2mae.config import (
    AugmentConfig,
    ClipConfig,
    ComputeConfig,
    EvalConfig,
    FinetuneConfig,
    HeadConfig,
    LogConfig,
    ModelConfig,
    OptimConfig,
    PairConfig,
    PretrainConfig,
)
from mv2mae.data.manifest import make_frame, read_manifest, write_manifest
from mv2mae.errors import InputError
from mv2mae.evaluate.evaluate import evaluate
from mv2mae.evaluate.predict import load_classifier
from mv2mae.evaluate.results import TestResult
from mv2mae.model.layers import interpolate_positions
from mv2mae.runs import read_log
from mv2mae.settings import stored_settings
from mv2mae.train.finetune import FinetuneModule, finetune
from mv2mae.train.pretrain import PretrainModule, pretrain
from mv2mae.weights import load_encoder, load_pretrained, read_weights

FEW = "subject in [1, 2, 3] and label in [5, 7] and setup == 1"
COMPUTE = ComputeConfig(accelerator="cpu", num_workers=0, num_threads=1)


@pytest.fixture
def pretraining(tiny):
    return PretrainConfig(
        model=dataclasses.replace(tiny, positions="sincos-3d"),
        data=PairConfig(train_query=FEW, cache="memory", frame_stride=8),
        optim=OptimConfig(lr=1e-3, batch_size=4, steps=12, warmup_steps=2),
        compute=COMPUTE,
        log=LogConfig(log_every=2, check_every=4, save_every=5, held_out_pairs=4),
    )


@pytest.fixture
def finetuning(tiny):
    return FinetuneConfig(
        model=dataclasses.replace(tiny, positions="sincos-3d"),
        data=ClipConfig(train_query=FEW + " and view != 1", test_query=FEW, flip=True, cache="memory", frame_stride=8),
        num_repeats=2,
        optim=OptimConfig(lr=1e-3, batch_size=8, steps=12, warmup_steps=2, layer_decay=0.9),
        compute=COMPUTE,
        log=LogConfig(log_every=2, save_every=5),
        test=EvalConfig(num_clips=2, num_crops=2),
    )


def test_a_run_writes_what_it_says(pretraining, tmp_path, capsys):
    run = pretrain(pretraining, tmp_path / "run")
    names = {"config.yaml", "environment.json", "log.csv", "summary.json", "model.safetensors", "checkpoints"}
    assert names <= {path.name for path in run.iterdir()}
    assert yaml.safe_load((run / "config.yaml").read_text())["optim"]["steps"] == 12
    environment = json.loads((run / "environment.json").read_text())
    assert environment["versions"]["torch"] == torch.__version__
    said = capsys.readouterr().out
    assert "12 of 4 pairs" in said
    assert "0.001 at its peak" in said
    log = read_log(run)
    assert log["held_out/loss"].dropna().index.tolist() == [0, 4, 8, 12]
    for part in ("self_source", "self_target", "cross_target", "cross_source", "baseline_target"):
        assert log[f"train/{part}"].notna().any()
    assert log["train/effective_tokens"].dropna().between(1, 32).all()
    assert {"speed/clips_per_s", "speed/data_wait_share", "held_out/source_gain"} <= set(log)
    assert (run / "tensorboard").is_dir()
    assert load_encoder(run)(torch.zeros(1, 3, 4, 32, 32)).shape == (1, 32, 32)


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_a_stopped_pretraining_goes_on_exactly(pretraining, tmp_path, monkeypatch, optimizer):
    config = dataclasses.replace(pretraining, optim=dataclasses.replace(pretraining.optim, optimizer=optimizer))
    whole = load_pretrained(pretrain(config, tmp_path / "whole"))
    with power_cut(monkeypatch, PretrainModule, 8):
        pretrain(config, tmp_path / "parts")
    parts = load_pretrained(pretrain(config, tmp_path / "parts"))
    for (name, a), b in zip(whole.named_parameters(), parts.parameters(), strict=True):
        assert torch.equal(a, b), name
    logs = [read_log(tmp_path / name)["held_out/loss"].dropna() for name in ("whole", "parts")]
    pd.testing.assert_series_equal(*logs)


def test_a_stopped_finetuning_goes_on_exactly_with_drop_path(finetuning, tmp_path, monkeypatch):
    finetune(finetuning, tmp_path / "whole")
    with power_cut(monkeypatch, FinetuneModule, 7):
        finetune(finetuning, tmp_path / "parts")
    finetune(finetuning, tmp_path / "parts")
    whole, parts = (read_weights(tmp_path / name).tensors for name in ("whole", "parts"))
    assert all(torch.equal(whole[name], parts[name]) for name in whole)


def test_accumulated_parts_equal_the_whole_batch(pretraining, tmp_path):
    whole = pretrain(pretraining, tmp_path / "whole")
    compute = dataclasses.replace(COMPUTE, device_batch_size=2)
    parts = pretrain(dataclasses.replace(pretraining, compute=compute), tmp_path / "parts")
    a, b = read_weights(whole).tensors, read_weights(parts).tensors
    for name in a:
        torch.testing.assert_close(a[name], b[name], rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(("before", "after"), [(4, 2), (2, 4)])
def test_a_run_goes_on_with_batches_held_in_other_parts(pretraining, tmp_path, monkeypatch, before, after):
    def held(size):
        return dataclasses.replace(pretraining, compute=dataclasses.replace(COMPUTE, device_batch_size=size))

    whole = read_weights(pretrain(held(before), tmp_path / "whole")).tensors
    with power_cut(monkeypatch, PretrainModule, 7 * 4 // before):
        pretrain(held(before), tmp_path / "parts")
    parts = read_weights(pretrain(held(after), tmp_path / "parts")).tensors
    for name in whole:
        torch.testing.assert_close(whole[name], parts[name], rtol=1e-3, atol=1e-4)


def test_a_run_does_not_go_on_with_other_videos(pretraining, tmp_path, monkeypatch):
    frame = read_manifest("sample").query(FEW, engine="python")

    def config(rows):
        manifest = write_manifest(rows, tmp_path / "manifest.csv")
        data = dataclasses.replace(pretraining.data, manifest=str(manifest), train_query="")
        return dataclasses.replace(pretraining, data=data)

    with power_cut(monkeypatch, PretrainModule, 7):
        pretrain(config(frame), tmp_path / "run")
    with pytest.raises(InputError, match="videos are not those with which this run began"):
        pretrain(config(frame[frame["subject"] != 3]), tmp_path / "run")


def test_stopped_by_hand_is_told_apart_from_broken(pretraining, tmp_path, monkeypatch):
    def interrupted(self, batch, batch_idx):
        raise KeyboardInterrupt

    monkeypatch.setattr(PretrainModule, "training_step", interrupted)
    with pytest.raises(KeyboardInterrupt):
        pretrain(pretraining, tmp_path / "run")


def test_pretraining_goes_on_from_other_weights_of_the_same_build(pretraining, tmp_path):
    start = pretrain(pretraining, tmp_path / "start")
    still = dataclasses.replace(pretraining.optim, lr=1e-12, steps=1, warmup_steps=1)
    masks = dataclasses.replace(pretraining.model, mask_ratio=0.5)
    config = dataclasses.replace(pretraining, init=str(start), optim=still, model=masks)
    before, after = read_weights(start).tensors, read_weights(pretrain(config, tmp_path / "next")).tensors
    assert all(torch.allclose(before[name], after[name], atol=1e-6) for name in before)
    heads = dataclasses.replace(config, model=dataclasses.replace(pretraining.model, encoder_heads=4))
    with pytest.raises(InputError, match=r"has encoder_heads=2, but model.encoder_heads is 4"):
        pretrain(heads, tmp_path / "other")


def test_pretraining_goes_on_with_longer_and_wider_clips(pretraining, tmp_path):
    frames, size = pretraining.model.num_frames, pretraining.model.image_size
    short = dataclasses.replace(pretraining.model, num_frames=frames // 2, image_size=size // 2)
    start = pretrain(dataclasses.replace(pretraining, model=short), tmp_path / "short")
    still = dataclasses.replace(pretraining.optim, lr=1e-12, steps=1, warmup_steps=1)
    after = read_weights(pretrain(dataclasses.replace(pretraining, init=str(start), optim=still), tmp_path / "long"))
    before = read_weights(start).tensors
    assert all(torch.allclose(before[name], after.tensors[name], atol=1e-6) for name in before)
    assert (after.config.num_frames, after.config.image_size) == (frames, size)


def test_a_finished_run_is_left_alone(pretraining, tmp_path, capsys):
    run = pretrain(pretraining, tmp_path / "run")
    before = (run / "model.safetensors").read_bytes()
    old = [line for line in (run / "config.yaml").read_text().splitlines() if "decoded_share" not in line]
    (run / "config.yaml").write_text("\n".join(old))  # as a version wrote it that had no such setting
    pretrain(pretraining, run)
    assert "finished already" in capsys.readouterr().out
    assert (run / "model.safetensors").read_bytes() == before


def test_a_run_with_other_settings_is_refused(pretraining, tmp_path):
    pretrain(pretraining, tmp_path / "run")
    other = dataclasses.replace(pretraining, optim=dataclasses.replace(pretraining.optim, lr=5e-3))
    with pytest.raises(InputError, match=r"holds a run with other settings \(optim.lr\)"):
        pretrain(other, tmp_path / "run")


def test_finetune_evaluate_predict(pretraining, finetuning, tmp_path):
    start = pretrain(pretraining, tmp_path / "pretrain")
    config = dataclasses.replace(  # twelve videos, shown as they are: learnt by heart
        finetuning,
        init=str(start),
        data=dataclasses.replace(finetuning.data, flip=False, crop="centre"),
        augment=AugmentConfig(rand_augment_ops=0),
        head=HeadConfig(drop_path=0.0, label_smoothing=0.0),
        optim=dataclasses.replace(finetuning.optim, optimizer="muon", muon_lr=0.05, lr=5e-3, layer_decay=1.0, steps=60),
    )
    run = finetune(config, tmp_path / "finetune")
    log = read_log(run)
    assert log["train/loss"].iloc[-3:].mean() < log["train/loss"].iloc[:3].mean() - 0.3  # labels are learnt
    result = evaluate(run, config.data, config.test, tmp_path / "evaluation", progress=False)
    assert result.single_view.num == 18
    assert result.fused.num == 6
    assert set(result.per_view) == {"1", "2", "3"}
    scores = pd.read_parquet(tmp_path / "evaluation" / "scores.parquet")
    columns = [name for name in scores if name[0] == "p" and name[1:].isdigit()]
    assert scores[columns].sum(axis=1).between(0.999, 1.001).all()
    assert TestResult.read(tmp_path / "evaluation" / "evaluation.json").confusion == result.confusion

    group = scores[scores["group"] == scores["group"][0]]
    prediction = load_classifier(run).predict(group["path"].tolist(), num_clips=2, num_crops=2)
    torch.testing.assert_close(prediction.per_view.sum(dim=1), torch.ones(3))
    names = [name for name, _ in prediction.ranked()]
    assert names[0] == prediction.label == prediction.classes[int(prediction.per_view.mean(dim=0).argmax())]
    # what predict says of files equals what evaluate scored (which scaled them once more on their way to the cache)
    fused = torch.tensor(group[columns].mean().to_numpy(), dtype=torch.float32)
    torch.testing.assert_close(prediction.probabilities, fused, atol=0.05, rtol=0)


def test_the_classifier_starts_from_the_pretrained_encoder(pretraining, finetuning, tmp_path):
    start = pretrain(pretraining, tmp_path / "pretrain")
    still = dataclasses.replace(finetuning.optim, lr=1e-12, steps=1, warmup_steps=1)
    run = finetune(dataclasses.replace(finetuning, init=str(start), optim=still), tmp_path / "finetune")
    before, after = read_weights(start).tensors, read_weights(run).tensors
    for name in before:
        if name.startswith("encoder.") and not name.startswith("encoder.norm"):
            torch.testing.assert_close(before[name], after[name], atol=1e-6, rtol=1e-5)


def test_finetuning_says_what_it_took_and_what_it_did_not(pretraining, finetuning, tmp_path, capsys):
    short = dataclasses.replace(finetuning, optim=dataclasses.replace(finetuning.optim, steps=1, warmup_steps=1))
    start = pretrain(pretraining, tmp_path / "pretrain")
    larger = dataclasses.replace(finetuning.model, image_size=48)
    first = finetune(dataclasses.replace(short, init=str(start), model=larger), tmp_path / "first")
    said = capsys.readouterr().out
    assert "not: cross_decoder, mask_token, norm, projector, self_decoder)" in said
    assert "model.image_size=48 is not used: with --from, --image_size sets it" in said
    assert read_weights(first).config.image_size == 32
    finetune(dataclasses.replace(short, init=str(first)), tmp_path / "second")
    said = capsys.readouterr().out
    assert "4 not: head, norm)" in said
    assert "is not used" not in said


def test_weights_that_leave_their_run_keep_their_rate(pretraining, tmp_path):
    data = dataclasses.replace(pretraining.data, fps=15.0)
    optim = dataclasses.replace(pretraining.optim, steps=1, warmup_steps=1)
    run = pretrain(dataclasses.replace(pretraining, data=data, optim=optim), tmp_path / "run")
    moved = (run / "model.safetensors").rename(tmp_path / "moved.safetensors")
    assert stored_settings(moved) == {"data.frame_stride": 8, "data.fps": 15.0}


def test_finetuning_takes_the_stored_model_or_interpolates_its_positions(pretraining, finetuning, tmp_path):
    start = pretrain(pretraining, tmp_path / "pretrain")
    config = dataclasses.replace(finetuning, init=str(start), model=ModelConfig())  # the paper's size does not count
    assert read_weights(finetune(config, tmp_path / "same")).config == pretraining.model
    run = finetune(dataclasses.replace(config, image_size=48), tmp_path / "larger")
    larger = read_weights(run)
    assert (larger.config.image_size, larger.position_grid) == (48, pretraining.model.grid)
    # the table of the fine-tuned model is the one that the pre-trained encoder makes up for such a clip
    wanted = interpolate_positions(load_encoder(start).positions, pretraining.model.grid, larger.config.grid)
    torch.testing.assert_close(load_encoder(run).positions, wanted)


@pytest.mark.parametrize("cache", ["none", "memory"])
def test_broken_videos_are_set_aside_and_listed(pretraining, tmp_path, cache):
    frame = read_manifest("sample").query(FEW, engine="python").reset_index(drop=True)
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(Path(frame["path"][0]).read_bytes()[:3000])
    frame.loc[0, "path"] = str(broken)
    manifest = write_manifest(frame, tmp_path / "manifest.csv")
    data = PairConfig(manifest=str(manifest), cache=cache)
    run = pretrain(dataclasses.replace(pretraining, data=data), tmp_path / "run")
    set_aside = json.loads((run / "summary.json").read_text())["set_aside"]
    assert [entry[0] for entry in set_aside] == [str(broken)]


def test_real_footage_drives_the_loss_under_the_mean_baseline(tiny, footage, tmp_path):
    frame = make_frame({"path": str(footage / f"cam0{i}.mp4"), "group": "take", "view": i} for i in (1, 2, 3, 4))
    manifest = write_manifest(frame, tmp_path / "take.csv")
    config = PretrainConfig(
        model=dataclasses.replace(
            tiny, num_frames=8, encoder_width=64, decoder_width=48, positions="sincos-3d", motion_temperature=None
        ),
        data=PairConfig(manifest=str(manifest), cache="memory", crop="centre"),
        optim=OptimConfig(optimizer="muon", lr=3e-3, batch_size=4, steps=150, warmup_steps=10),
        compute=COMPUTE,
        log=LogConfig(check_every=150, held_out_pairs=8),
    )
    log = read_log(pretrain(config, tmp_path / "run"))
    last = log.loc[150]
    for part in ("self_target", "cross_target", "self_source", "cross_source"):
        assert last[f"held_out/{part}"] < 0.9 * last[f"held_out/baseline_{part.split('_')[1]}"]
