"""Options of fine-tuning in whole runs on a few videos: what learns, what is kept, what a stopped run goes on with."""

import dataclasses
import json

import pytest
import torch
from power_cut import power_cut

from mv2mae.config import (
    AugmentConfig,
    ClipConfig,
    ComputeConfig,
    EvalConfig,
    FinetuneConfig,
    HeadConfig,
    LogConfig,
    OptimConfig,
)
from mv2mae.data.labels import class_names
from mv2mae.data.manifest import read_manifest, write_manifest
from mv2mae.errors import InputError
from mv2mae.evaluate.evaluate import evaluate, print_result, training_videos
from mv2mae.evaluate.predict import load_classifier
from mv2mae.model.classifier import Classifier
from mv2mae.train.ema import averaged_copy, update_average
from mv2mae.train.finetune import FinetuneModule, balanced_weights, finetune, freeze, places_of
from mv2mae.weights import CLASSIFIER, read_weights, save_weights

ALL = AugmentConfig(erase_prob=0.5, mixup=0.8, cutmix=1.0)


@pytest.fixture
def config(tiny):
    """Twelve videos of two classes, four of each batch's eight clips held at a time."""
    return FinetuneConfig(
        model=dataclasses.replace(tiny, positions="sincos-3d"),
        data=ClipConfig(
            train_query="subject in [1, 2, 3] and label in [5, 7] and setup == 1 and view != 1",
            flip=True,
            cache="memory",
            frame_stride=8,
        ),
        num_repeats=2,
        optim=OptimConfig(lr=1e-3, batch_size=8, steps=5, warmup_steps=1, layer_decay=0.9),
        compute=ComputeConfig(accelerator="cpu", num_workers=0, num_threads=1),
        log=LogConfig(log_every=1, save_every=2),
    )


def tensors(run):
    return read_weights(run).tensors


def first_weights(config, num_classes=2):
    torch.manual_seed(config.seed)
    return Classifier(config.model, num_classes, drop_path=config.head.drop_path).state_dict()


def test_a_stopped_run_with_all_options_goes_on_exactly(config, tmp_path, monkeypatch):
    config = dataclasses.replace(
        config, augment=ALL, ema_decay=0.99, train_blocks=1, head=HeadConfig(class_weights="balanced")
    )
    finetune(config, tmp_path / "whole")
    with power_cut(monkeypatch, FinetuneModule, 3):
        finetune(config, tmp_path / "parts")
    finetune(config, tmp_path / "parts")
    whole, parts = tensors(tmp_path / "whole"), tensors(tmp_path / "parts")
    assert all(torch.equal(whole[name], parts[name]) for name in whole)


def test_accumulated_parts_and_workers_give_what_the_whole_batch_gives(config, tmp_path):
    config = dataclasses.replace(config, augment=ALL, ema_decay=0.9, head=HeadConfig(drop_path=0.0))
    whole = tensors(finetune(config, tmp_path / "whole"))
    compute = dataclasses.replace(config.compute, device_batch_size=4, num_workers=1)
    parts = tensors(finetune(dataclasses.replace(config, compute=compute), tmp_path / "parts"))
    for name in whole:
        torch.testing.assert_close(whole[name], parts[name], rtol=1e-3, atol=1e-5)


def test_every_augmentation_changes_what_is_learnt(config, tmp_path):
    plain = AugmentConfig(rand_augment_ops=0)
    kinds = {
        "plain": plain,
        "rand_augment": AugmentConfig(),
        "erase": dataclasses.replace(plain, erase_prob=1.0),
        "mixup": dataclasses.replace(plain, mixup=0.8),
        "cutmix": dataclasses.replace(plain, cutmix=1.0),
    }
    short = dataclasses.replace(config.optim, steps=1, warmup_steps=1)
    runs = [
        tensors(finetune(dataclasses.replace(config, augment=kind, optim=short), tmp_path / name))["head.weight"]
        for name, kind in kinds.items()
    ]
    assert all(not torch.equal(a, b) for i, a in enumerate(runs) for b in runs[:i])


def test_only_the_last_blocks_and_the_head_learn(config, tmp_path):
    before = first_weights(config)
    for blocks, still in ((1, ("encoder.embed", "encoder.blocks.0")), (0, ("encoder.",))):
        for optimizer in ("adamw", "muon"):
            optim = dataclasses.replace(config.optim, optimizer=optimizer)
            run = tmp_path / f"{blocks}-{optimizer}"
            after = tensors(finetune(dataclasses.replace(config, train_blocks=blocks, optim=optim), run))
            for name, tensor in before.items():
                assert torch.equal(after[name], tensor) == name.startswith(still), name


def test_frozen_parts_are_not_gone_back_through(config):
    model = Classifier(config.model, 5, drop_path=0.5)
    frozen = freeze(model, 1)
    given = []
    for block in model.encoder.blocks:
        block.register_forward_pre_hook(lambda module, args: given.append(args[0].requires_grad))
    model(torch.rand(2, 3, 4, 32, 32)).sum().backward()
    assert given == [False, False]  # nothing behind the last block's input wants a gradient
    assert all(p.grad is None for part in frozen for p in part.parameters())
    assert all(p.grad is not None for p in model.encoder.blocks[1].parameters())


def test_frozen_parts_stay_in_evaluation_mode(config, tmp_path, monkeypatch):
    modes = []
    step = FinetuneModule.training_step

    def watched(self, batch, batch_idx):
        blocks = self.model.encoder.blocks
        modes.append((blocks[0].training, blocks[1].training, self.model.head.training, self.average.training))
        return step(self, batch, batch_idx)

    monkeypatch.setattr(FinetuneModule, "training_step", watched)
    finetune(dataclasses.replace(config, train_blocks=1, ema_decay=0.9), tmp_path / "run")
    assert set(modes) == {(False, True, True, False)}


def test_more_blocks_than_there_are_is_an_error(config, tmp_path):
    with pytest.raises(InputError, match="train_blocks=3, but the encoder has 2 blocks"):
        finetune(dataclasses.replace(config, train_blocks=3), tmp_path / "run")


def test_the_running_mean_is_what_is_kept(config, tmp_path, monkeypatch):
    path = []
    step = FinetuneModule.optimizer_step

    def watched(self, *args, **kwargs):
        step(self, *args, **kwargs)
        path.append({name: value.clone() for name, value in self.model.state_dict().items()})

    monkeypatch.setattr(FinetuneModule, "optimizer_step", watched)
    kept = tensors(finetune(dataclasses.replace(config, ema_decay=0.5), tmp_path / "run"))
    wanted = first_weights(config)
    for number, weights in enumerate(path, start=1):
        decay = min(0.5, (1 + number) / (10 + number))
        wanted = {name: decay * wanted[name] + (1 - decay) * weights[name] for name in wanted}
    assert len(path) == 5
    for name in kept:
        torch.testing.assert_close(kept[name], wanted[name], rtol=1e-4, atol=1e-6)
        assert not torch.equal(kept[name], path[-1][name]) or path[0][name].std() == 0


def test_the_mean_of_a_constant_is_that_constant(tiny):
    model = Classifier(tiny, 5)
    average = averaged_copy(model)
    with torch.no_grad():
        model.head.weight += 1
    for step in range(1, 400):
        update_average(average, model, 0.95, step)
    torch.testing.assert_close(average.head.weight, model.head.weight)
    assert not any(p.requires_grad for p in average.parameters())


def test_balanced_weights_make_classes_count_alike():
    labels = [0] * 6 + [1] * 3 + [3]
    places = places_of(labels)
    assert places.tolist() == [0, 1, -1, 2]
    weights = balanced_weights(places[labels])
    assert weights[places[labels]].mean() == pytest.approx(1)
    sums = [float(weights[place]) * labels.count(label) for place, label in enumerate((0, 1, 3))]
    assert sums == pytest.approx([10 / 3] * 3)


def test_a_balanced_loss_weighs_each_clip_by_its_class(config, tmp_path, monkeypatch):
    seen = []
    loss = FinetuneModule.loss

    def watched(self, logits, target):
        value = loss(self, logits, target)
        seen.append((self.class_weights, logits.detach(), target, value.detach()))
        return value

    monkeypatch.setattr(FinetuneModule, "loss", watched)
    # two of class 5's six videos are left out
    query = config.data.train_query + " and not (label == 5 and subject == 1)"
    config = dataclasses.replace(
        config,
        data=dataclasses.replace(config.data, train_query=query),
        head=HeadConfig(class_weights="balanced"),
    )
    finetune(config, tmp_path / "labels")
    finetune(dataclasses.replace(config, augment=AugmentConfig(mixup=0.8)), tmp_path / "shares")
    for weights, logits, target, value in seen:
        assert weights.tolist() == pytest.approx([10 / 8, 10 / 12])
        shares = target if target.ndim == 2 else torch.nn.functional.one_hot(target, 2).float()
        smoothed = 0.9 * shares + 0.1 / 2
        each = -(smoothed * logits.log_softmax(dim=1)).sum(dim=1)
        torch.testing.assert_close(value, (each * (shares @ weights)).mean())


def test_mixing_wants_pairs_of_videos(config, tmp_path):
    optim = dataclasses.replace(config.optim, batch_size=6)
    with pytest.raises(InputError, match="a device holds 3 at a time; choose optim.batch_size"):
        finetune(dataclasses.replace(config, optim=optim, augment=ALL), tmp_path / "run")


@pytest.mark.parametrize("cache", ["none", "memory"])
def test_weights_keep_the_usual_rate_of_their_videos(config, tmp_path, cache):
    rows = read_manifest("sample").query(config.data.train_query, engine="python")
    own = dataclasses.replace(config.data, train_query="", cache=cache)
    config = dataclasses.replace(config, optim=dataclasses.replace(config.optim, steps=1))
    # a manifest may say it of all, of some or of no videos; those of the sample set have 30 frames a second
    for name, rates, wanted in (("all", [25, 25, 50], 25), ("some", [None, 60, None], 60), ("none", [None] * 3, 30)):
        manifest = write_manifest(rows.assign(fps=rates * (len(rows) // 3)), tmp_path / f"{name}.csv")
        data = dataclasses.replace(own, manifest=str(manifest))
        run = finetune(dataclasses.replace(config, data=data), tmp_path / name)
        about = read_weights(run).about
        assert (about["fps"], about["video_fps"]) == (None, wanted)
        assert load_classifier(run).fps == wanted
    run = finetune(dataclasses.replace(config, data=dataclasses.replace(data, fps=10.0)), tmp_path / "chosen")
    assert load_classifier(run).fps == 10  # what the training was told comes first


def test_one_class_alone_is_refused(config, tmp_path):
    data = dataclasses.replace(config.data, train_query="label == 5 and subject == 1")
    with pytest.raises(InputError, match="training videos have the label 5; a classifier needs two classes"):
        finetune(dataclasses.replace(config, data=data), tmp_path / "run")


def test_weights_without_an_encoder_are_refused(config, tmp_path):
    head = torch.nn.Linear(config.model.encoder_width, 3)
    save_weights(tmp_path / "head.safetensors", head, CLASSIFIER, config.model, classes=["a", "b", "c"])
    with pytest.raises(InputError, match=r"head.safetensors: no tensor embed.weight, which this model needs"):
        finetune(dataclasses.replace(config, init=str(tmp_path / "head.safetensors")), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_few_labels_are_said_and_counted(config, tmp_path, capsys):
    data = dataclasses.replace(config.data, labels_per_class=1)
    run = finetune(dataclasses.replace(config, data=data), tmp_path / "run")
    counts = json.loads((run / "summary.json").read_text())["data"]
    assert (counts["videos"], counts["groups"], counts["classes"]) == (4, 2, 2)
    said = capsys.readouterr().out
    assert "4 videos, 2 groups, 2 classes" in said
    assert "1 group of each class" in said


def test_a_run_says_what_it_does_to_clips_and_what_learns(config, tmp_path, capsys):
    config = dataclasses.replace(config, augment=ALL, train_blocks=1, ema_decay=0.99)
    finetune(config, tmp_path / "run")
    said = capsys.readouterr().out
    assert "RandAugment (4 x, magnitude 7 ± 0.5), erasing 0.5, mixup 0.8, cutmix 1" in said
    assert "the last 1 of 2 blocks and the head" in said
    assert "a running mean of the weights (0.99) is kept" in said


@pytest.mark.parametrize(("decay", "is_told"), [(0.5, True), (1.0, False)])
def test_slow_first_layers_from_scratch_are_pointed_out(config, tmp_path, capsys, decay, is_told):
    finetune(
        dataclasses.replace(config, optim=dataclasses.replace(config.optim, layer_decay=decay, steps=1)),
        tmp_path / "run",
    )
    said = capsys.readouterr().out
    assert ("the first learns at 0.12 of the rate, as if it had learnt before" in said) == is_told


def test_labels_with_gaps_have_an_output_each_and_keep_their_numbers(config, tmp_path):
    config = dataclasses.replace(
        config,
        data=dataclasses.replace(config.data, labels_per_class=1, crop="centre", flip=False),
        optim=dataclasses.replace(config.optim, lr=3e-3, steps=60, layer_decay=1.0),
        augment=AugmentConfig(rand_augment_ops=0),
        head=HeadConfig(drop_path=0.0, label_smoothing=0.0),
    )
    run = finetune(config, tmp_path / "run")
    about = read_weights(run).about
    assert about["labels"] == [5, 7]
    assert about["classes"] == class_names("sample", [5, 7])
    assert tensors(run)["head.bias"].shape == (2,)
    seen = training_videos(run)
    data = ClipConfig(test_query=f"path in {seen}", frame_stride=8)
    result = evaluate(run, data, EvalConfig(num_clips=1, num_crops=1), tmp_path / "out", progress=False)
    assert set(result.single_view.per_class) == {5, 7}
    assert result.single_view.top1 == 1  # learnt by heart: each output stands for the right label
    assert load_classifier(run).predict(seen[:1]).classes == about["classes"]


def test_a_run_does_not_go_on_with_other_classes(config, tmp_path):
    run = tmp_path / "run"
    rows = read_manifest("sample").query("subject in [1, 2] and label in [5, 7] and setup == 1")
    manifest = write_manifest(rows, tmp_path / "m.csv")
    config = dataclasses.replace(config, data=dataclasses.replace(config.data, manifest=str(manifest), train_query=""))
    finetune(config, run)
    write_manifest(rows.assign(label=rows["label"].map({5: 6, 7: 7})), manifest)
    with pytest.raises(InputError, match="was begun with the classes 5 = 5, 7 = 7, and the manifest now has 6 = 6"):
        finetune(config, run)


def test_a_test_on_training_videos_is_told(config, tmp_path, capsys):
    run = finetune(config, tmp_path / "run")
    few = "subject in [1, 2, 3] and label in [5, 7] and setup == 1"
    test = EvalConfig(num_clips=1, num_crops=1)
    for query, known in ((few, 12), (f"{few} and view == 1", 0)):
        data = ClipConfig(test_query=query, frame_stride=8)
        result = evaluate(run, data, test, tmp_path / "out", progress=False)
        assert result.trained_on == known
        capsys.readouterr()
        print_result(result, "test")
        assert ("were training videos" in capsys.readouterr().out) == (known > 0)
