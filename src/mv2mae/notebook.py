"""Training and testing from Python in a line each, with results that show themselves in a notebook."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from mv2mae.config import EvalConfig, FinetuneConfig, PretrainConfig, VideosConfig
from mv2mae.data.given import keep_videos
from mv2mae.data.manifest import write_manifest
from mv2mae.devices import best_device
from mv2mae.errors import InputError
from mv2mae.evaluate.evaluate import evaluate as evaluate_files
from mv2mae.evaluate.predict import ActionClassifier, load_classifier
from mv2mae.evaluate.results import TestResult
from mv2mae.evaluate.score_figures import views_figure
from mv2mae.model.encoder import Encoder
from mv2mae.recipes import load_recipe
from mv2mae.reports.write import write_pages
from mv2mae.results import html_table
from mv2mae.runs import read_config, read_log
from mv2mae.settings import stored_settings
from mv2mae.train.finetune import finetune as finetune_files
from mv2mae.train.pretrain import pretrain as pretrain_files
from mv2mae.visualize.curves import curves_figure
from mv2mae.weights import load_encoder

Settings = Mapping[str, Any]


@dataclass(frozen=True)
class Trained:
    """A run that has ended; `repr` in a notebook is a table and the curves.

    Attributes:
        folder: of the run, which all commands and functions take.
    """

    folder: Path

    @property
    def log(self) -> pd.DataFrame:
        """A row a logged step, a column a quantity."""
        return read_log(self.folder)

    @property
    def config(self) -> dict[str, Any]:
        """The settings."""
        return read_config(self.folder)

    def curves(self) -> Figure:
        """Losses, rates and checks over the steps."""
        return curves_figure({self.folder.name: self.log})

    def encoder(self) -> Encoder:
        """The encoder, which maps clips [batch, 3, frames, height, width] from 0 to 1 to [batch, tokens, width]."""
        return load_encoder(self.folder)

    def _repr_html_(self) -> str:
        last = self.log.ffill().iloc[-1].dropna()
        rows = [(str(name), f"{value:.4g}") for name, value in last.items() if isinstance(value, float)]
        return f"<b>{html.escape(str(self.folder))}</b>{html_table(rows[:12])}{_picture(self.curves())}"


@dataclass(frozen=True)
class Classifier(Trained):
    """A fine-tuned run."""

    def load(self, device: str = "cpu") -> ActionClassifier:
        """The classifier, whose `predict(videos)` takes the files of one performance."""
        return load_classifier(self.folder, device=device)


@dataclass(frozen=True)
class Tested:
    """A test: `figures` as evaluation.json holds them, in the folder of the results."""

    folder: Path
    figures: TestResult

    @property
    def top1(self) -> float:
        """Share of right answers; of fused views where there are several."""
        return (self.figures.fused or self.figures.single_view).top1

    def _repr_html_(self) -> str:
        picture = _picture(views_figure(self.figures))
        return f"<b>top-1, with 95 % interval</b>{self.figures._repr_html_()}{picture}"


def pretrain(
    videos: Any = None,
    run: str | Path = "runs/pretrain",
    *,
    recipe: str | Sequence[str] = "sample-pretrain",
    fps: float = 30.0,
    **settings: Any,
) -> Trained:
    """Learns from several views without labels, or goes on with a run that was stopped.

    Args:
        videos: as `keep_videos` takes them: [n, views, frames, height, width, 3], uint8 or from 0 to 1, tensor or
            array; a `Dataset` of one's own; or a manifest (file or table). None = what the recipe says.
        run: folder.
        recipe: name or YAML file (`mv2mae recipes`), or several: each is laid over those before.
        fps: frames a second of videos that are given as pixels.
        settings: over the recipe's, a dictionary a section: `optim={"steps": 100}, data={"frame_stride": 2}`.

    Returns:
        the run: `folder`, `log`, and in a notebook a table and the curves.

    Raises:
        InputError: for settings or data that cannot work.
    """
    folder = Path(run)
    config = load_recipe(recipe, PretrainConfig, **_with_data(videos, folder / "data", settings, fps=fps))
    pretrain_files(config, folder)
    write_pages(folder)
    return Trained(folder)


def finetune(
    videos: Any = None,
    run: str | Path = "runs/finetune",
    *,
    start: Any = None,
    recipe: str | Sequence[str] = "sample-finetune",
    labels: Sequence[int | str] | None = None,
    fps: float = 30.0,
    **settings: Any,
) -> Classifier:
    """Trains a classifier, or goes on with a run that was stopped.

    Args:
        videos: as in `pretrain`, with labels.
        run: folder.
        start: encoder to begin with: what `pretrain` returned, a run, weights, a name; None = untrained.
        recipe: as in `pretrain`.
        fps: frames a second of videos that are given as pixels.
        labels: of each performance, numbers from 0 or names, where `videos` have none.
        settings: over the recipe's, as in `pretrain`.

    Returns:
        the classifier with its run; `evaluate_run` and `load_classifier` take it or its `folder`.

    Raises:
        InputError: for settings, data or weights that cannot work.
    """
    folder = Path(run)
    if start is not None:
        settings["init"] = str(start.folder if isinstance(start, Trained) else start)
    values = _with_data(videos, folder / "data", settings, labels=labels, fps=fps)
    finetune_files(load_recipe(recipe, FinetuneConfig, **values), folder)
    write_pages(folder)
    return Classifier(folder)


def evaluate_run(
    run: Any,
    videos: Any = None,
    *,
    labels: Sequence[int | str] | None = None,
    fps: float = 30.0,
    device: str = "auto",
    **settings: Any,
) -> Tested:
    """Tests a classifier, single views and fused.

    Args:
        run: what `finetune` returned, or its folder.
        videos: others than the run was tested on, as in `finetune`; None = the test part of the run's own data.
        labels: as in `finetune`.
        fps: as in `finetune`.
        device: auto, cpu or cuda.
        settings: of the test, over the run's: `num_clips=5, num_crops=10`.

    Returns:
        the test: `top1`, `figures` with accuracies and intervals from 0 to 1, and in a notebook a table and a picture.

    Raises:
        InputError: the run holds no classifier, or there is nothing to test on.
    """
    folder = Path(run.folder if isinstance(run, Trained) else run)
    stored = stored_settings(folder, () if videos is None else {"data.manifest"})
    values = {name.partition(".")[2]: value for name, value in stored.items() if name.startswith("data.")}
    test = {name.partition(".")[2]: value for name, value in stored.items() if name.startswith("test.")}
    out = folder / "evaluation"
    if videos is not None:
        given = _with_data(videos, folder / "test-data", {}, labels=labels, fps=fps)["data"]
        values |= {**given, "train_query": "", "test_query": "", "test_manifest": None}
    known = {name: values[name] for name in VideosConfig.__dataclass_fields__ if name in values and name != "stream"}
    figures = evaluate_files(
        folder, VideosConfig(**known), EvalConfig(**{**test, **settings}), out, device=best_device(device)
    )
    write_pages(out)
    return Tested(out, figures)


# --------------------------------------------------------------------------------------------------------------


def _with_data(
    data: Any, folder: Path, settings: Settings, *, labels: Sequence[int | str] | None = None, fps: float
) -> dict[str, Any]:
    """The settings with a manifest of what was given, without the split of the recipe's own data."""
    if data is None:
        if labels is not None:
            raise InputError("labels without data; give both")
        return dict(settings)
    if isinstance(data, (str, Path)):
        manifest = str(data)
    elif isinstance(data, pd.DataFrame):
        manifest = str(write_manifest(data, folder / "manifest.csv"))
    else:
        manifest = str(keep_videos(data, folder, labels=labels, fps=fps))
    own = {"manifest": manifest} if manifest == "sample" else {"manifest": manifest, "split": ""}
    return {**settings, "data": {**own, **settings.get("data", {})}}


def _picture(figure: Figure) -> str:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=90)
    return f'<img src="data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}">'
