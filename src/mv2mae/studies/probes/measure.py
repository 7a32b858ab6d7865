"""What a frozen encoder's features are worth for telling actions apart: `mv2mae probe`."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from rich.console import Console
from torch import Tensor

from mv2mae.config import FeatureConfig, ProbeConfig, VideosConfig
from mv2mae.data.labels import class_names, count_untrained, match_labels
from mv2mae.data.selection import rows_of_part
from mv2mae.errors import InputError
from mv2mae.evaluate.metrics import accuracy, fuse_views, top1_with_interval
from mv2mae.evaluate.scores import write_table
from mv2mae.evaluate.tables import interval, number, print_table, print_untrained
from mv2mae.files import make_writable
from mv2mae.model.knn import knn_scores
from mv2mae.studies.features import UNTRAINED, Features, FrozenEncoder, extract_features, frozen_encoder, num_bytes
from mv2mae.studies.probes.heads import Labelled, attentive_logits, fit_attentive, fit_linear
from mv2mae.studies.probes.results import ProbeResult, ProbeScore
from mv2mae.text import counted

PROBE_NAME = "probe.json"


@dataclass(frozen=True)
class LabelledRows:
    """Training and test videos, all with labels; no video is in both. Labels count as in the training's manifest.

    Raises:
        InputError: a video has no label, or no test video shows a class of training.
    """

    train: pd.DataFrame
    test: pd.DataFrame
    names: dict[int, str]
    """Of the classes of both, by number."""

    def __post_init__(self) -> None:
        count_untrained(self.train, self.labels)
        count_untrained(self.test, self.labels)

    @property
    def labels(self) -> list[int]:
        """The classes that are trained; test videos of others count as errors."""
        return [int(label) for label in sorted(self.train["label"].dropna().unique())]

    @property
    def classes(self) -> list[str]:
        """Names of `labels`."""
        return [self.names[label] for label in self.labels]


def labelled(train: pd.DataFrame, test: pd.DataFrame, data: VideosConfig) -> LabelledRows:
    """Training and test rows with their classes' names; those of another manifest matched by name.

    Raises:
        InputError: as `LabelledRows` and `match_labels`.
    """
    known = sorted(int(label) for label in train["label"].dropna().unique())
    learnt = dict(zip(known, class_names(data.manifest, known), strict=True))
    if data.test_manifest:
        test, names = match_labels(test, data.test_manifest, learnt)
    else:
        labels = sorted(int(label) for label in test["label"].dropna().unique())
        names = dict(zip(labels, class_names(data.manifest, labels), strict=True))
    return LabelledRows(train, test, {**names, **learnt})


def check_divided(data: VideosConfig, what: str) -> None:
    """Raises InputError unless something tells training from test videos; `what` learns and is tested."""
    if not (data.split or data.test_manifest or (data.train_query and data.test_query)):
        raise InputError(
            f"nothing says which {what}; give --data.split, or --data.train_query and --data.test_query, or the test "
            "videos' own manifest as --data.test_manifest"
        )


def labelled_rows(data: VideosConfig) -> LabelledRows:
    """The training and the test part of a split, or of two queries.

    Raises:
        InputError: nothing divides the videos, a part is empty, a label is missing, or a video is in both parts.
    """
    check_divided(data, "videos the probes learn from and which they are tested on")
    train, test = (rows_of_part(data, part) for part in ("train", "test"))
    both = train.merge(test, on=["path", "start", "end"] if data.test_manifest else ["group", "view"])
    if len(both):
        raise InputError(
            f"{len(both)} videos are both for training and for testing (first: {_first_of(both)}); change the queries"
        )
    return labelled(train, test, data)


def _first_of(both: pd.DataFrame) -> str:
    return str(both["path"][0]) if "path" in both else f"view {both['view'][0]} of group {both['group'][0]}"


def score_table(rows: pd.DataFrame, scores: Tensor, good: np.ndarray, labels: Sequence[int]) -> pd.DataFrame:
    """A score table as `evaluate` writes it; rows that are not `good` have no probabilities and count as errors."""
    table = rows[["path", "group", "view", "label", "subject", "setup"]].reset_index(drop=True)
    values = np.full((len(rows), scores.shape[1]), np.nan)
    values[good] = scores.double().cpu().numpy()
    return pd.concat([table, pd.DataFrame(values, columns=[f"p{label}" for label in labels])], axis=1)


def run_probes(
    rows: LabelledRows, train: Features, test: Features, config: ProbeConfig, *, device: str = "cpu"
) -> dict[str, tuple[pd.DataFrame, dict[str, Any]]]:
    """Score tables of the test videos and chosen settings, by the name of the probe.

    The attentive probe is left out unless the features are tokens.
    """
    made: dict[str, tuple[pd.DataFrame, dict[str, Any]]] = {}
    known, readable = train.good, test.good
    num_classes = len(rows.labels)
    labels = torch.tensor(np.searchsorted(rows.labels, rows.train["label"].to_numpy(np.int64)[known]), device=device)
    groups = rows.train["group"].to_numpy()[known].tolist()
    learn = Labelled(train.of_videos()[known].to(device), labels, groups, num_classes)
    queries = test.of_videos()[readable].to(device)
    for name in config.probes:
        settings: dict[str, Any] = {}
        if name == "linear":
            model = fit_linear(learn, config)
            scores, settings = model.logits(queries).softmax(dim=1), {"weight_decay": model.weight_decay}
        elif name == "knn":
            settings = {"k": min(config.k, len(labels)), "temperature": config.temperature}
            scores = knn_scores(queries, learn.values, labels, num_classes, k=config.k, temperature=config.temperature)
        elif train.values.shape[2] > 1:
            tokens = Labelled(train.values[known].flatten(1, 2), labels.cpu(), groups, num_classes)
            head, epochs = fit_attentive(tokens, config, device)
            scores = attentive_logits(head, test.values[readable].flatten(1, 2)).softmax(dim=1)
            settings = {"epochs": epochs}
        else:
            continue
        made[name] = score_table(rows.test, scores, readable, rows.labels), settings
    return made


def score_of(scores: pd.DataFrame, settings: Mapping[str, Any]) -> ProbeScore:
    """What a table of scores says of a probe, with the settings that it chose."""
    top1, low, high, num = top1_with_interval(scores)
    found = accuracy(scores)
    several = scores["group"].duplicated().any()
    return ProbeScore(
        top1=top1,
        top1_interval=(low, high),
        num=num,
        num_broken=found.num_broken,
        mean_class=found.mean_class,
        per_class=found.per_class,
        fused_top1=accuracy(fuse_views(scores)).top1 if several else None,
        **settings,
    )


def probe(
    source: str | Path,
    data: VideosConfig,
    features: FeatureConfig,
    config: ProbeConfig,
    out: str | Path,
    *,
    floor: bool = True,
    device: str = "cpu",
    progress: bool = True,
) -> ProbeResult:
    """Probe an encoder and, as the floor, the same encoder untrained; writes `probe.json` and `predictions.parquet`.

    Args:
        source: pre-training or fine-tuning run, weights file or packaged weights.
        data: manifest and division into training and test videos.
        features: which features; the level is chosen here.
        out: folder for the results.
        floor: whether the untrained encoder is probed too.

    Raises:
        InputError: no such weights, videos that do not divide, missing labels, nothing that can be read.
    """
    out = Path(out)
    encoders = [frozen_encoder(source, layer=features.layer)]
    if floor:
        encoders.append(frozen_encoder(source, layer=features.layer, untrained=True, seed=config.seed))
    rows = labelled_rows(data)
    make_writable(out)
    features, left_out = choose_level(encoders[0], features, config, len(rows.train) + len(rows.test))
    tables, results, broken = [], {}, {}
    for frozen in encoders:
        train, test = (
            extract_features(frozen, part, data, features, device=device, progress=progress)
            for part in (rows.train, rows.test)
        )
        broken = {**broken_videos(rows.train, train), **broken_videos(rows.test, test)}
        made = run_probes(rows, train, test, config, device=device)
        results[frozen.name] = {name: score_of(table, chosen) for name, (table, chosen) in made.items()}
        tables += [table.assign(encoder=frozen.name, probe=name) for name, (table, _) in made.items()]
    result = ProbeResult(
        run=str(source),
        manifest=data.manifest,
        split=data.split or data.test_manifest or f"{data.train_query} | {data.test_query}",
        classes=tuple(rows.classes),
        num_train=len(rows.train),
        num_test=len(rows.test),
        **chance_of(rows),
        **untrained_of(rows),
        features=dataclasses.asdict(features),
        left_out=left_out,
        encoders=results,
        broken=tuple(sorted(broken.items())),
    )
    write_table(pd.concat(tables, ignore_index=True), out / "predictions.parquet")
    result.write(out / PROBE_NAME)
    return result


def choose_level(
    frozen: FrozenEncoder, features: FeatureConfig, config: ProbeConfig, num_videos: int
) -> tuple[FeatureConfig, dict[str, str]]:
    """Tokens where the attentive probe wants them and they fit, else clips; and why a probe is left out."""
    if "attentive" in config.probes:
        features = dataclasses.replace(features, level="token")
        gigabytes = num_videos * num_bytes(frozen.encoder.config, features) / 1e9
        if gigabytes <= config.token_gigabytes:
            return features, {}
        reason = f"the tokens would take {gigabytes:.1f} GB (token_gigabytes={config.token_gigabytes})"
        if config.probes == ("attentive",):
            raise InputError(f"the attentive probe is left out: {reason}; allow more, or fewer videos or clips")
        return dataclasses.replace(features, level="clip"), {"attentive": reason}
    return dataclasses.replace(features, level="clip"), {}


def broken_videos(rows: pd.DataFrame, features: Features) -> dict[str, str]:
    """Path -> reason of the videos that could not be read."""
    return {str(rows["path"].iloc[row]): reason for row, reason in features.errors.items()}


def chance_of(rows: LabelledRows) -> dict[str, Any]:
    """What guessing reaches: any class, and always the class that is most frequent in training."""
    common = rows.train["label"].mode()[0]
    return {
        "chance": 1 / rows.train["label"].nunique(),
        "most_frequent_class": float((rows.test["label"] == common).mean()),
    }


def untrained_of(rows: LabelledRows) -> dict[str, Any]:
    """How many test videos show a class that is not in training, and the names of these classes."""
    other = sorted(set(rows.test["label"]) - set(rows.labels))
    return {
        "num_untrained": count_untrained(rows.test, rows.labels),
        "untrained": tuple(rows.names[int(label)] for label in other),
    }


def print_probes(result: ProbeResult) -> None:
    """The probes as a table on the terminal."""
    console = Console()
    title = f"{result.run} on {result.manifest} ({result.split})"
    parts = [
        [
            (
                ("untrained, " if encoder == UNTRAINED else "") + _named(name, found),
                number(found.top1),
                interval(found.top1_interval),
                number(found.mean_class),
                number(found.fused_top1),
            )
            for name, found in probes.items()
        ]
        for encoder, probes in result.encoders.items()
    ]
    print_table(console, title, ("", "top-1", "95 % interval", "mean class", "fused"), parts)
    console.print(
        f"  {result.num_train} training and {result.num_test} test videos; chance {result.chance:.3f}, "
        f"always the most frequent class {result.most_frequent_class:.3f}",
        soft_wrap=True,
    )
    for name, reason in result.left_out.items():
        console.print(f"  {name} left out: {reason}")
    print_untrained(console, result.num_untrained, result.untrained)
    print_broken(console, result.broken)


def _named(probe: str, found: ProbeScore) -> str:
    """A probe and what it has chosen."""
    if probe == "linear":
        return f"linear (decay {found.weight_decay:g})"
    return (
        counted(found.k or 0, "neighbour") if probe == "knn" else f"attentive ({counted(found.epochs or 0, 'epoch')})"
    )


def print_broken(console: Console, broken: Sequence[tuple[str, str]]) -> None:
    """Videos that could not be read, the first ten of them."""
    if broken:
        what = f"{counted(len(broken), 'video')} cannot be read"
        console.print(f"  {what}: left out of training, counted as errors in testing", soft_wrap=True)
        for path, reason in broken[:10]:
            console.print(f"    {path}: {reason}", soft_wrap=True)
