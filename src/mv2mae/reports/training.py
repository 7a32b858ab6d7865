"""The parts of a report about a training: what it is, how it learnt, what it rebuilds, its settings."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from mv2mae.config import FinetuneConfig, PretrainConfig
from mv2mae.data.held_out import apart_in_words
from mv2mae.reports.folder import RunFolder
from mv2mae.reports.snapshots import snapshot_figure, snapshot_table
from mv2mae.runs import LOG_NAME, PROBLEMS_NAME, SNAPSHOTS_NAME, plain
from mv2mae.text import counted
from mv2mae.visualize.curves import Logs, curve_groups, curves_figure
from mv2mae.visualize.report import ReportFigure, Section, Table

_LEARNT_NOTHING = 0.98
"""Share of the mean baseline above which a loss is still at it."""
_LITTLE_GAIN = 0.01
"""Share of the self-view loss below which what the cross-view loss gains on it is next to nothing."""
_LAST = 10
"""Logged points of training over which a last value is averaged."""


def lead(run: RunFolder) -> list[str]:
    """What was run, how far it came, and what its log says of it, in sentences."""
    optim, summary = run.config.get("optim", {}), run.summary or {}
    data = ", ".join(f"{value:,} {name.replace('_', ' ')}" for name, value in summary.get("data", {}).items() if value)
    init = run.config.get("init")
    start = f"from {init}" if init else "from scratch"
    what = "Pre-training without labels" if run.kind == "pre-training" else "Fine-tuning on labels"
    batch = f"in batches of {optim['batch_size']} " if "batch_size" in optim else ""
    items = ("pairs of clips " if run.kind == "pre-training" else "clips ") if batch else ""
    first = f"{what}, {start}, {batch}{items}on {_data_of(run)}" + (f" ({data})." if data else ".")
    said = [first, state(run)]
    if run.kind == "pre-training" and len(run.log):
        said += _verdict(run)
    return said


def _data_of(run: RunFolder) -> str:
    data = run.config.get("data", {})
    part = data.get("split") and f", split {data['split']}"
    query = data.get("train_query") and f", videos with {data['train_query']}"
    return f"{data.get('manifest', 'unknown data')}{part or query or ''}"


def state(run: RunFolder) -> str:
    """Whether the training has ended, or how far it is."""
    total = run.total_steps
    if run.summary is not None:
        return f"It ended after {counted(total or run.last_step, 'step')}{_duration(run)}."
    if not len(run.log):
        return "It has not logged anything yet."
    written = time.strftime("%Y-%m-%d %H:%M", time.localtime((run.path / LOG_NAME).stat().st_mtime))
    of_total = f" of {total:,}" if total is not None else ""
    return (
        f"It has not ended: the log goes to step {run.last_step:,}{of_total} and was last written {written}. The same "
        "command goes on with it; this page shows what there is."
    )


def _duration(run: RunFolder) -> str:
    """From the speed in the log and what a step computes; empty where the log has none."""
    optim, data = run.config.get("optim", {}), run.config.get("data", {})
    if "speed/clips_per_s" not in run.log or "batch_size" not in optim:
        return ""
    speeds = run.log["speed/clips_per_s"].dropna()
    clips = optim["batch_size"] * (1 + data.get("num_sources", 1) if run.kind == "pre-training" else 1)
    seconds = float(clips * run.last_step * (1 / speeds[speeds > 0]).mean())
    if not seconds > 0:
        return ""
    return (
        f", about {seconds / 3600:.1f} hours of training" if seconds > 5400 else f", about {seconds / 60:.0f} minutes"
    )


def _verdict(run: RunFolder) -> list[str]:
    log = run.log
    share, gain, wrong = loss_share(log, "self_target"), cross_gain(log), source_gain(log)
    if share is None:
        return []
    learnt = share < _LEARNT_NOTHING
    how = (
        "it has left the mean baseline (1.0)"
        if learnt
        else "it is still at the mean baseline (1.0): next to nothing learnt"
    )
    said = [f"The self-view loss stands at {share:.3f} of predicting each tubelet's mean; {how}."]
    if gain is not None:
        # the two decoders differ: only what a wrong source costs too comes from the source
        worth = gain if wrong is None else min(gain, wrong)
        what = "makes next to no use" if worth < _LITTLE_GAIN else "makes use"
        use = f": the model {what} of the other camera" if learnt else ""
        side = "below" if gain >= 0 else "above"
        said.append(f"On the same tokens the cross-view loss lies {abs(gain):.2%} {side} it{use} ({checked_on(run)}).")
    if wrong is not None:
        said.append(f"With the source of another performance the cross-view loss rises by {wrong:.2%}.")
    return [" ".join(said)]


def check_of(log: pd.DataFrame) -> str:
    """The check that says more of a run: of rooms or people that are not trained on, where there is one."""
    return "unseen" if "unseen/cross_target" in log else "held_out"


def checked_on(run: RunFolder) -> str:
    """What is said beside every gain: whether the performances' rooms and people are trained on."""
    apart, check = (run.summary or {}).get("apart"), check_of(run.log)
    if apart is None:
        return "held-out performances; whether rooms and people are trained on is not recorded"
    told = apart_in_words(apart.get(check, ()))
    return told if apart.get(check) else f"{told}: it may be rooms learnt by heart"


def loss_share(log: pd.DataFrame, name: str) -> float | None:
    """The last value of a loss over that of the mean baseline: held out, or else of training; None without either."""
    base = f"baseline_{name.rpartition('_')[2]}"
    for stage, last in (("held_out", 1), ("train", _LAST)):
        if {f"{stage}/{name}", f"{stage}/{base}"} <= set(log):
            share = (log[f"{stage}/{name}"] / log[f"{stage}/{base}"]).dropna()
            if len(share) and share.iloc[-1] > 0:  # a model without cross-view decoder logs 0
                return float(share.iloc[-last:].mean())
    return None


def source_gain(log: pd.DataFrame) -> float | None:
    """The last rise of the cross-view loss with another performance's source, as a share; None if not measured."""
    return _last_share(log, "source_gain", "cross_target")


def cross_gain(log: pd.DataFrame) -> float | None:
    """The last share by which the cross-view loss lies below the self-view loss on the same tokens; None without."""
    above = _last_share(log, "cross_target", "self_target")
    return None if not above else 1 - above


def _last_share(log: pd.DataFrame, name: str, base: str) -> float | None:
    check = check_of(log)
    if not {f"{check}/{name}", f"{check}/{base}"} <= set(log):
        return None
    share = (log[f"{check}/{name}"] / log[f"{check}/{base}"]).dropna()
    return float(share.iloc[-1]) if len(share) else None


def highlights(run: RunFolder) -> list[tuple[str, str]]:
    """The figures of a training that matter most."""
    log, found = run.log, []
    if run.kind == "pre-training":
        for name, label in (("self_target", "self-view"), ("cross_target", "cross-view")):
            if (share := loss_share(log, name)) is not None:
                found.append((f"{share:.3f}", f"{label} loss over the mean baseline; 1 = nothing learnt"))
        if (gain := cross_gain(log)) is not None:
            label = f"cross-view loss below self-view, {check_of(log).replace('_', ' ')}; 0 = camera not used"
            found.append((f"{gain:+.2%}", label))
    held_out = "top-1 on validation videos" if run.kind == "fine-tuning" else "pairs told right, held out"
    for name, label in (
        ("probe/knn_top1", "top-1 of nearest neighbours"),
        ("held_out/top1", held_out),
        ("train/top1", "top-1 on augmented training clips"),
    ):
        if name in log and len(values := log[name].dropna()):
            last = values.iloc[-_LAST:].mean() if name == "train/top1" else values.iloc[-1]
            found.append((f"{last:.3f}", label))
    return found[:4]


def curve_section(logs: Logs, title: str = "How it learnt", *, runs: Sequence[RunFolder] = ()) -> list[Section]:
    """Curves of one or several runs over their steps; nothing where nothing was logged.

    Args:
        runs: theirs, which tell whether the performances that are looked at were held out of training.
    """
    groups = curve_groups(logs)
    if not groups:
        return []
    names = ", ".join(logs)
    pictures = [
        ReportFigure(
            figure=curves_figure(logs, [group]),
            caption=f"{group.title}. {group.caption}",
            alt=f"{group.title}: curves over the steps of {names}",
        )
        for group in groups
    ]
    text = [
        "One unit on the horizontal axis is one step of the optimiser. Pale lines are single logged steps, strong "
        "ones a running mean."
    ]
    if trained := [run.path.resolve().name for run in runs if run.held_out_groups == 0]:
        text.append(f"In {', '.join(trained)} no performance was held out: its circles are training performances.")
    last = Table(
        header=["quantity", *logs],
        rows=_last_values(logs),
        caption="As logged: losses are not divided by anything here.",
        folded="Last logged value of every quantity",
    )
    return [Section(title=title, text=text, tables=[last], figures=pictures)]


def _last_values(logs: Logs) -> list[list[str]]:
    names = sorted({str(name) for log in logs.values() for name in log})
    rows = []
    for name in names:
        lasts = [log[name].dropna() if name in log else pd.Series(dtype=float) for log in logs.values()]
        rows.append([name, *(f"{values.iloc[-1]:.6g}" if len(values) else "" for values in lasts)])
    return rows


def snapshot_section(run: RunFolder) -> list[Section]:
    """Held-out clips as the model rebuilt them at several steps; nothing where none were kept."""
    if run.snapshots is None:
        return []
    try:
        figure, table = snapshot_figure(run.path, run.snapshots), snapshot_table(run.snapshots)
    except (OSError, ValueError, KeyError, TypeError, IndexError) as error:  # of a run that was cut off
        note = f"The pictures that {SNAPSHOTS_NAME} lists cannot be read: {error}"
        return [Section(title="Reconstructions over time", notes=[note])]
    baseline = sum(run.snapshots["baseline"]) / len(run.snapshots["baseline"])
    whose = {None: "held-out performances", 0: "training performances (none was held out)"}.get(
        run.held_out_groups, "performances that are never trained on"
    )
    caption = (
        f"Clips of {whose}, as the model rebuilds their masked tubelets at some steps. "
        "Self-view: from the visible tubelets of the same view alone; cross-view: with the visible ones of the source "
        "too. Good is a picture in which shapes and limbs come out of the blocks from left to right. Predicted "
        "tubelets are shown with their true mean and contrast, so that the very first ones look better than they "
        "are: flat blocks in the right colour are no achievement."
    )
    picture = ReportFigure(figure=figure, caption=caption, alt="clips rebuilt at several steps", kind="frames")
    note = (
        "Error: mean squared over masked tubelets, each counting the same, in the normalised scale; predicting the "
        f"mean scores {baseline:.3f}, less is better."
    )
    return [Section(title="Reconstructions over time", figures=[picture], tables=[table], notes=[note])]


def settings_section(run: RunFolder) -> list[Section]:
    """Which settings differ from the defaults, and all of them."""
    if not run.config:
        return []
    values = flat(run.config)
    defaults = flat(plain(FinetuneConfig() if run.kind == "fine-tuning" else PretrainConfig()))
    changed = [
        [name, shown(value), shown(defaults.get(name))]
        for name, value in values.items()
        if shown(value) != shown(defaults.get(name))
    ]
    tables = [
        Table(header=["setting", "this run", "default"], rows=changed),
        Table(
            header=["setting", "value"],
            rows=[[name, shown(value)] for name, value in values.items()],
            folded=f"All {len(values)} settings",
        ),
    ]
    text = ["Settings that differ from the defaults of this version; the rest is as `mv2mae VERB --help` says."]
    return [Section(title="Settings", text=text, tables=tables)]


def flat(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested settings by dotted name."""
    found: dict[str, Any] = {}
    for name, value in config.items():
        if isinstance(value, Mapping) and value:
            found |= flat(value, f"{prefix}{name}.")
        else:
            found[prefix + name] = value
    return found


def shown(value: Any) -> str:
    """A setting's value as one would type it."""
    if value is None or value == "":
        return "-"
    return value if isinstance(value, str) else json.dumps(value)


def facts(run: RunFolder) -> dict[str, str]:
    """Command, machine, versions, source and data of a run."""
    about, data = run.environment, run.config.get("data", {})
    found = {
        "folder": str(run.path.resolve()),
        "command": about.get("command"),
        "machine": about.get("processor")
        and f"{about['processor']}, {about.get('cpus')} cores, {about.get('platform')}",
        "devices": _devices(run.config.get("compute", {})),
        "versions": ", ".join(
            f"{k} {v}" for k, v in {"Python": about.get("python"), **about.get("versions", {})}.items()
        ),
        "source": about.get("git") or (about and "installed package, no repository"),
        "data": data.get("manifest"),
        "videos": data.get("split") or data.get("train_query") or _tested_on(run),
        "seed": str(run.config["seed"]) if "seed" in run.config else None,
    }
    return {name: str(value) for name, value in found.items() if value and (name != "versions" or about)}


def _tested_on(run: RunFolder) -> str:
    """What a test or probe alone says of its videos."""
    said = [test.result.split or "" for test in run.tests]
    said += [probed.result.split or probed.result.manifest for probed in run.probes]
    return ", ".join(filter(None, said))


def _devices(compute: Mapping[str, Any]) -> str:
    if not compute:
        return ""
    nodes, devices = compute.get("num_nodes", 1), compute.get("devices", 1)
    return f"{nodes} x {devices} ({compute.get('accelerator', 'auto')}), {compute.get('precision', '')}"


def notes(run: RunFolder) -> list[str]:
    """What did not go as it should: videos set aside, files that cannot be read."""
    set_aside = (run.summary or {}).get("set_aside", [])
    said = list(run.problems)
    if set_aside:
        first = ": ".join(map(str, set_aside[0]))
        said.append(f"{counted(len(set_aside), 'video')} set aside, listed in {PROBLEMS_NAME}; the first: {first}")
    return said
