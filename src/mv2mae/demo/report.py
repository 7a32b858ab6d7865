"""The page that the demo ends with: what was done, what came out, and what the models have learnt to see."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from mv2mae.data.calibration import cameras_of
from mv2mae.data.manifest import read_manifest
from mv2mae.data.protocols import select
from mv2mae.demo.contender import Tested
from mv2mae.model.attention_maps import CrossAttentionMaps, cross_attention_maps
from mv2mae.model.pretraining import MV2MAE
from mv2mae.reports.training import curve_section
from mv2mae.runs import environment, read_log
from mv2mae.visualize.charts import AccuracyRow, accuracy_figure, confusion_figure
from mv2mae.visualize.figures import attention_figure, motion_figure, reconstruction_figure
from mv2mae.visualize.reconstruct import RebuiltClip, reconstruct
from mv2mae.visualize.report import ReportFigure, ReportPage, Section, Table, write_report
from mv2mae.visualize.visualize import read_views, shown_temperatures
from mv2mae.weights import load_pretrained, read_weights

SEED = 3
"""Of the masks in the pictures."""


def write_demo_report(
    path: Path,
    contenders: Sequence[Tested],
    pretrained: dict[str, Path],
    *,
    packaged: str,
    test_split: str,
    seconds: float,
) -> Path:
    """Write `report.html`.

    Args:
        path: file to write.
        contenders: the fine-tuned models with their scores, the packaged encoder last.
        pretrained: the demo's own pre-training runs by name.
        packaged: name of the packaged weights whose pictures are shown.
        test_split: on whose test part the contenders were tested.
        seconds: what the demo took.
    """
    classes = contenders[0].result.classes
    report = ReportPage(
        title="MV2MAE in minutes: learning actions from several cameras without labels",
        lead=_lead(contenders, classes),
        highlights=[(f"{c.on_unseen_view()[0]:.2f}", f"{c.name}: top-1, unseen camera and people") for c in contenders],
        sections=[
            _accuracy_section(contenders),
            *curve_section({name: read_log(run) for name, run in pretrained.items()}, "How it learnt without labels"),
            *curve_section({c.name: read_log(c.run) for c in contenders}, "How it learnt with labels"),
            _looking_section(pretrained["multi-view"], packaged, test_split),
            _mistakes_section(contenders[-1], classes),
        ],
        facts=_facts(seconds),
    )
    return write_report(path, report)


def _lead(contenders: Sequence[Tested], classes: Sequence[str]) -> list[str]:
    views = contenders[0].scores.groupby("group")["view"].nunique().max()
    return [
        f"A small video model was pre-trained on synchronised videos without labels, fine-tuned on the labels of two "
        f"cameras, and tested on people that no training saw, filmed by {views} cameras of which one was never used "
        f"in training. The videos are synthetic: {len(classes)} actions ({', '.join(classes)}).",
        verdict(contenders),
    ]


def verdict(contenders: Sequence[Tested]) -> str:
    """What the figures say, as text that follow from them alone."""
    chance = contenders[0].result.chance
    base = contenders[0].on_unseen_view()
    if len(contenders) == 1:
        return (
            f"{contenders[0].name.capitalize()}: {base[0]:.2f} ({base[1]:.2f} to {base[2]:.2f}) on {base[3]} test "
            f"clips from the unseen camera, chance {chance:.2f}; there was no time for an encoder to compare it with."
        )
    sentences = []
    for contender in contenders[1:]:
        top1, low, _, _ = contender.on_unseen_view()
        if low > base[2]:
            what = "pays: its interval lies wholly above that of training from scratch"
        elif top1 > base[0]:
            what = "scores higher than training from scratch, but the intervals overlap: these clips do not settle it"
        else:
            what = "does not pay here"
        sentences.append(f"{contender.name.capitalize()} pre-training {what} ({top1:.2f} against {base[0]:.2f}).")
    sentences.append(f"Chance is {chance:.2f}; {base[3]} test clips from the unseen camera, 95 % intervals below.")
    return " ".join(sentences)


def _accuracy_section(contenders: Sequence[Tested]) -> Section:
    bars, rows = [], []
    for c in contenders:
        unseen, fused = c.on_unseen_view(), c.fused()
        bars += [
            AccuracyRow(c.name, *unseen, series="unseen camera"),
            AccuracyRow(c.name, *fused, series="all cameras fused"),
        ]
        top5 = c.result.fused.top5 if c.result.fused else None
        rows.append(
            [
                c.name,
                unseen[0],
                f"{unseen[1]:.2f} to {unseen[2]:.2f}",
                *c.result.per_view.values(),
                fused[0],
                top5 or "-",
            ]
        )
    first = contenders[0]
    views = [f"camera {view}" for view in first.result.per_view]
    num, num_fused = first.on_unseen_view()[3], first.fused()[3]
    table = Table(
        header=["encoder", "unseen camera", "95 % interval", *views, "fused", "fused top-5"],
        rows=rows,
        caption=f"Top-1 accuracy on people that no training saw; {num} videos a camera, {num_fused} performances "
        f"fused; {first.result.num_clips} clips x {first.result.num_crops} crops of each video. Fused: mean of the "
        "cameras' probabilities.",
    )
    return Section(
        title="What it scored",
        text=[f"{c.name}: {c.about}." for c in contenders],
        tables=[table],
        figures=[
            ReportFigure(
                figure=accuracy_figure(bars, chance=first.result.chance),
                caption="Top-1 with 95 % bootstrap intervals over performances; the line is chance.",
                alt="accuracy of each encoder",
            )
        ],
    )


def _looking_section(own_run: Path, packaged: str, test_split: str) -> Section:
    rows = select(read_manifest("sample"), split=test_split, part="test")
    groups = list(dict.fromkeys(rows["group"]))
    shown, other = (_two_views(rows, group) for group in (groups[0], groups[len(groups) // 2]))
    model, own = load_pretrained(packaged), load_pretrained(own_run)
    about = read_weights(packaged).about
    (target, source), seconds = read_views(
        _paths(shown), model.config, frame_stride=about["frame_stride"], fps=about["fps"]
    )
    (wrong, _), _ = read_views(_paths(other), model.config, frame_stride=about["frame_stride"], fps=about["fps"])
    cameras = torch.from_numpy(cameras_of("sample").vectors(shown))[None]
    size = model.config.tubelet_size
    pictures = [
        ReportFigure(
            kind="frames",
            figure=motion_figure(target, size, shown_temperatures(model.config, target), frame_seconds=seconds),
            caption="Motion weights: how much each tubelet counts in the loss, for several temperatures; the lower "
            "the temperature, the more the loss looks at what moves.",
            alt="motion weights over the frames of a clip",
        )
    ]
    makers = {f"`{packaged}`, packaged": model, "the model trained in this demo": own}
    for name, which in makers.items():
        made = reconstruct(which, source, target, seed=SEED, wrong_source=wrong, cameras=cameras)
        pictures.append(
            ReportFigure(
                kind="frames",
                figure=reconstruction_figure(made, size, frame_seconds=seconds),
                caption=f"A performance that training never saw, rebuilt by {name}: target, what is left of it, "
                "self-view and cross-view reconstruction, and the cross-view one from a wrong source. "
                + _errors(made.predictions, made.baseline),
                alt=f"reconstruction by {name}",
            )
        )
    pictures.append(_attention_picture(model, source, target, cameras, seconds))
    return Section(title="What it sees", figures=pictures)


def _two_views(rows: pd.DataFrame, group: str) -> pd.DataFrame:
    """Target from the unseen camera, source from the frontal one."""
    return rows[rows["group"] == group].sort_values("view").iloc[:2]


def _paths(rows: pd.DataFrame) -> list[Path]:
    return [Path(path) for path in rows["path"]]


def _errors(predictions: dict[str, RebuiltClip], baseline: float) -> str:
    errors = ", ".join(f"{name} {made.error:.3f}" for name, made in predictions.items())
    return f"Mean squared error on the masked tubelets: {errors}; predicting their mean {baseline:.3f}."


def _attention_picture(
    model: MV2MAE, source: torch.Tensor, target: torch.Tensor, cameras: torch.Tensor, seconds: float
) -> ReportFigure:
    """Where the model looks, and by how much more than anywhere."""
    maps = cross_attention_maps(model, source[None], target[None], seeds=torch.tensor([SEED]), cameras=cameras)
    made = reconstruct(model, source, target, seed=SEED, cameras=cameras)
    figure = attention_figure(
        source,
        target,
        maps,
        model.config.tubelet_size,
        reconstruction=made.predictions["cross-view"].clip,
        frame_seconds=seconds,
    )
    return ReportFigure(
        kind="frames",
        figure=figure,
        caption="Cross-attention: where in the source view the model looks when it predicts the outlined tubelet of "
        "the target (mean over the heads of the last layer). Averaged over tokens, the strongest source token gets "
        f"{attention_peak(maps):.1f} times the uniform share. At 1.0 a model looks everywhere alike: it makes no use "
        "of where things are in the source.",
        alt="cross-attention of one target tubelet over the source view",
    )


def attention_peak(maps: CrossAttentionMaps) -> float:
    """Largest attention of a token over the uniform share, mean over the tokens of a clip; 1 = uniform."""
    mean = maps.weights[0].mean(dim=0)
    return float((mean.max(dim=-1).values * mean.shape[-1]).mean())


def _mistakes_section(contender: Tested, classes: Sequence[str]) -> Section:
    matrix = np.array(contender.result.confusion)
    return Section(
        title="What it confuses",
        figures=[
            ReportFigure(
                figure=confusion_figure(matrix, list(classes)),
                caption=f"{contender.name}: true action (rows) and predicted action (columns), all cameras.",
                alt="confusion matrix",
            )
        ],
    )


def _facts(seconds: float) -> dict[str, str]:
    values = environment()
    return {
        "time": f"{seconds / 60:.1f} minutes",
        "machine": f"{values['processor']}, {values['cpus']} cores",
        "versions": ", ".join(f"{name} {version}" for name, version in values["versions"].items()),
        "source": values["git"] or "installed package",
        "data": "the sample set of the package: synthetic, CC0 bodies",
        "command": values["command"],
    }
