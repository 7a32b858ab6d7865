"""Maps of clips: the features of a manifest's videos on a plane, coloured by what is known of them."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

from mv2mae.config.pictures import Method
from mv2mae.errors import InputError
from mv2mae.visualize.style import COLOURS, styled

MARKERS = ("o", "^", "s", "X")
MAX_NAMED = 21
"""Values of one kind that are told apart by colour and marker; the rest is grey."""
_PACKAGES: dict[Method, tuple[str, str]] = {
    "tsne": ("scikit-learn", "sklearn.manifold"),
    "umap": ("umap-learn", "umap"),
}
"""Name on the package index, and the module."""
_KINDS = {"label": "action", "view": "view", "subject": "person"}


def project(features: Float[np.ndarray, "v d"], method: Method = "pca", *, seed: int = 0) -> Float[np.ndarray, "v 2"]:
    """Features on a plane.

    Args:
        method: `pca`: the two directions of largest variance. `tsne` and `umap` keep neighbours together instead;
            distances between far points then say nothing.
        seed: of the latter two.

    Raises:
        InputError: the method's package is not installed, or there are too few clips.
    """
    if len(features) < 4:
        raise InputError(f"a map of {len(features)} clips says nothing; give 4 or more")
    centred = np.asarray(features, dtype=np.float64)
    centred = centred - centred.mean(axis=0)
    if method == "pca":
        _, _, basis = np.linalg.svd(centred, full_matrices=False)
        signs = np.sign(basis[np.arange(2), np.abs(basis[:2]).argmax(axis=1)])
        points: np.ndarray = centred @ (basis[:2] * signs[:, None]).T
        return points
    check_package(method)
    if method == "tsne":
        from sklearn.manifold import TSNE

        made = TSNE(perplexity=min(30, (len(features) - 1) / 3), init="pca", random_state=seed)
    else:
        from umap import UMAP

        made = UMAP(random_state=seed, n_jobs=1)
    return np.asarray(made.fit_transform(centred))


def check_package(method: Method) -> None:
    """Whether a method's package is there.

    Raises:
        InputError: it is not, or does not load.
    """
    if method == "pca":
        return
    package, module = _PACKAGES[method]
    try:
        import_module(module)
    except ImportError as error:
        raise InputError(f"method={method} needs {package} (pip install {package}); or choose pca ({error})") from error


def neighbour_shares(features: Float[np.ndarray, "v d"], rows: pd.DataFrame) -> dict[str, tuple[float, float]]:
    """How often the nearest clip of another performance is of the same action, view or person, and by chance.

    Nearest by cosine of the centred features; clips of the same performance do not count, so that another view of
    the same movement is no help. Chance is the share of the other performances' clips that have the same value.

    Args:
        features: of the videos of `rows`, in their order.

    Returns:
        (share, chance) for those of `label`, `view`, `subject` that are known and have two values or more.
    """
    unit = torch.nn.functional.normalize(torch.as_tensor(np.asarray(features)).float(), dim=1)
    unit = torch.nn.functional.normalize(unit - unit.mean(dim=0), dim=1)
    groups = pd.factorize(rows["group"])[0]
    other = groups[:, None] != groups[None]
    if not other.any(axis=1).all():
        return {}
    likeness = (unit @ unit.T).numpy()
    nearest = np.where(other, likeness, -np.inf).argmax(axis=1)
    found = {}
    for column in _KINDS:
        codes = pd.factorize(rows[column])[0]  # -1 where it is not known
        known = codes >= 0
        if len(set(codes[known])) < 2:
            continue
        same = codes[:, None] == codes[None]
        chance = ((same & other).sum(axis=1) / other.sum(axis=1))[known].mean()
        found[column] = (float((codes[nearest] == codes)[known].mean()), float(chance))
    return found


def embedding_figure(
    features: Float[np.ndarray, "v d"],
    rows: pd.DataFrame,
    *,
    classes: Mapping[int, str] | None = None,
    method: Method = "pca",
    seed: int = 0,
) -> Figure:
    """Clips on a plane, a panel each for action, view and person, as far as the manifest knows them.

    Above each panel: how often a clip's nearest neighbour among the other performances is of the same kind. That
    is measured on the features themselves, not on the plane.

    Args:
        features: one a video, of the videos of `rows` in their order.
        rows: of a manifest: `group`, `label`, `view`, `subject`.
        classes: names of the actions by number.

    Raises:
        InputError: as `project`.
    """
    points = project(features, method, seed=seed)
    shares = neighbour_shares(features, rows)
    shown = [column for column in _KINDS if rows[column].notna().any()]
    with styled():
        layout = ConstrainedLayoutEngine(w_pad=0.08, h_pad=0.06)
        figure = Figure(figsize=(3.7 * len(shown), 5.2), layout=layout)
        axes = figure.subplots(1, len(shown), squeeze=False)[0]
        for axis, column in zip(axes, shown, strict=True):
            _scatter(axis, points, _named(rows[column], column, classes or {}))
            axis.set_title(_panel_title(column, shares.get(column)), loc="left")
        figure.supxlabel(_note(features, rows, method), fontsize=8, color="#444", x=0.01, ha="left")
        return figure


def _panel_title(column: str, share: tuple[float, float] | None) -> str:
    title = f"by {_KINDS[column]}"
    if share is None:
        return title + "\n"
    return title + f"\nnearest neighbour the same: {share[0]:.0%} (chance {share[1]:.0%})"


def _named(values: pd.Series, column: str, classes: Mapping[int, str]) -> pd.Series:
    def name(value: Any) -> str:
        if pd.isna(value):
            return "not known"
        if column == "label":
            return classes.get(int(str(value)), f"class {value}")
        return f"{_KINDS[column]} {value}" if str(value).isdigit() else str(value)

    return values.map(name).reset_index(drop=True)


def _scatter(axis: Axes, points: np.ndarray, names: pd.Series) -> None:
    """Points in as many colours and markers as there are names; the most frequent ones, if those are too many."""
    frequent = names.value_counts().index[:MAX_NAMED]
    order = [name for name in dict.fromkeys(names) if name in set(frequent)]
    rest = ~names.isin(order).to_numpy()
    size = float(np.clip(6000 / len(points), 5, 26))
    x, y = points.T
    if rest.any():
        axis.scatter(x[rest], y[rest], s=size, color="#bbb", linewidths=0, label=f"{names[rest].nunique()} others")
    for i, name in enumerate(order):
        chosen = (names == name).to_numpy()
        axis.scatter(x[chosen], y[chosen], s=size, color=COLOURS[i % len(COLOURS)], alpha=0.8, linewidths=0.3,
                     marker=MARKERS[i // len(COLOURS)], edgecolors="white", label=name)  # fmt: skip
    axis.set(xticks=[], yticks=[])
    axis.spines[:].set(visible=True, color="#bbb")
    axis.set_box_aspect(1)
    columns = 2 if len(order) <= 12 else 3
    axis.legend(loc="upper center", bbox_to_anchor=(0.5, -0.02), ncols=columns, frameon=False, fontsize=8,
                handletextpad=0.2, columnspacing=0.8, markerscale=1.3)  # fmt: skip


def _note(features: np.ndarray, rows: pd.DataFrame, method: Method) -> str:
    what = {
        "pca": "the two directions of largest variance ({:.0%} of it)",
        "tsne": "t-SNE: near points are alike, distances between far ones say nothing",
        "umap": "UMAP: near points are alike, distances between far ones say nothing",
    }[method]
    if method == "pca":
        centred = np.asarray(features, dtype=np.float64) - np.mean(features, axis=0)
        variance = np.linalg.svd(centred, compute_uv=False) ** 2
        what = what.format(variance[:2].sum() / variance.sum())
    return (
        f"{len(rows):,} clips of {rows['group'].nunique():,} performances; features: mean of the encoder's tokens, "
        f"nothing masked. Plane: {what}.\n"
        "Nearest neighbours: by cosine of the features themselves, among other performances."
    )
