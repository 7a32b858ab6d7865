"""Losses of masked target tokens with their source, without one and with wrong ones, added up by performance."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float
from rich.progress import track

from mv2mae.config import PairConfig, SecondViewConfig
from mv2mae.model.attention_maps import check_cross_view
from mv2mae.model.calling import check_finite
from mv2mae.model.pretraining import MV2MAE
from mv2mae.model.second_view import EMPTY, MASK_TOKENS, SourceLosses, compare_sources
from mv2mae.studies.second_view.pairs import MeasuredPairs, drawn_pairs, video_pairs
from mv2mae.studies.second_view.results import AngleResult, Change, SecondViewResult
from mv2mae.weights import load_pretrained, read_weights

TOKENS = ("all", "seen", "hidden")
"""Which tokens: all masked ones, those whose surface the source really sees, the others."""
RISES = (EMPTY, MASK_TOKENS, "other_room", "same_room")
"""Sources whose cost is measured: none, mask tokens, another performance's in another room, and in the same room."""
LOSSES = ("self", "cross", "baseline", *RISES)
UNKNOWN = "not known"
"""The angle of cameras that nothing is known of."""
_DRAWS = 2000


def measure(
    weights: str | Path, data: PairConfig, config: SecondViewConfig, *, device: torch.device | str = "cpu"
) -> pd.DataFrame:
    """A row for each pair and kind of tokens: `group`, `angle` in degrees, `at` (of `config.angles` the one it counts
    with, NaN where cameras are not known), `tokens`, and sums over its tokens: `weight`
    and, weighted alike, the squared errors of `LOSSES` (NaN where there is no such source).

    Args:
        data: of `config.on` = videos.

    Raises:
        InputError: no such weights, no cross-view decoder, or nothing to measure on.
    """
    model = load_pretrained(weights).to(device).eval()
    check_cross_view(model)
    if config.on == "drawn":
        pairs: Iterable[MeasuredPairs] = drawn_pairs(weights, config)
        total = config.performances
    else:
        pairs, total = video_pairs(weights, data, config), -(-config.performances // config.batch_size)
    return measure_pairs(
        model,
        track(pairs, "measuring pairs", total, transient=True),
        config.angles,
        known_cameras=config.known_cameras,
        device=device,
    )


def measure_pairs(
    model: MV2MAE,
    pairs: Iterable[MeasuredPairs],
    angles: Sequence[float],
    *,
    known_cameras: bool = True,
    device: torch.device | str = "cpu",
) -> pd.DataFrame:
    """The rows of `measure` for pairs of any kind.

    Args:
        model: on the device, in evaluation mode.
        angles: with the nearest of which pairs count that do not say where their cameras were to stand.
        known_cameras: whether a model with rays is told the cameras.
    """
    told = known_cameras and model.config.cameras != "none"
    return pd.DataFrame(
        [row for some in pairs for row in _rows(some, angles, _losses(model, some, told, torch.device(device)))]
    )


@torch.no_grad()
def _losses(model: MV2MAE, pairs: MeasuredPairs, told: bool, device: torch.device) -> SourceLosses:
    batch = {name: value.to(device) for name, value in pairs.batch.items() if told or name != "cameras"}
    wrong = {name: value.to(device) for name, value in pairs.wrong.items()}
    losses = compare_sources(model, batch, wrong)[1]
    check_finite("the losses", losses.own.self_view, losses.own.cross_view)
    return losses


def _rows(pairs: MeasuredPairs, angles: Sequence[float], losses: SourceLosses) -> Iterable[dict[str, Any]]:
    own = losses.own
    assert own.cross_view is not None
    errors = {"self": own.self_view, "cross": own.cross_view, "baseline": own.baseline, **losses.cross}
    found = {name: value.cpu().double().numpy() for name, value in errors.items()}
    weights, tokens = own.weights.cpu().double().numpy(), own.tokens.cpu()
    seen = None if pairs.seen is None else pairs.seen.gather(1, tokens).numpy()
    places = nearest(pairs.angles, angles) if pairs.placed_at is None else pairs.placed_at
    for item, (group, angle, at) in enumerate(zip(pairs.groups, pairs.angles, places, strict=True)):
        for kind in TOKENS if seen is not None else TOKENS[:1]:
            chosen = np.ones_like(weights[item]) if kind == "all" or seen is None else seen[item] == (kind == "seen")
            counted = weights[item] * chosen
            sums = {name: float((counted * found[name][item]).sum()) if name in found else np.nan for name in LOSSES}
            missing = {name: np.nan for name, has in pairs.has.items() if not has[item]}
            yield {"group": group, "angle": angle, "at": at, "tokens": kind, "weight": counted.sum(), **sums, **missing}


def summarise(rows: pd.DataFrame, angles: Sequence[float], seed: int = 0) -> list[AngleResult]:
    """For each angle and kind of tokens, with 95 % bootstrap intervals over performances."""
    found = []
    for angle in (*sorted(angles), np.nan):
        here = rows[rows["at"].isna() if np.isnan(angle) else rows["at"] == angle]
        name = UNKNOWN if np.isnan(angle) else f"{angle:g}"
        for kind in TOKENS:
            part = here[here["tokens"] == kind]
            if len(part):
                whole = float(here["weight"][here["tokens"] == "all"].sum())
                found.append(_at_angle(name, kind, part, whole, seed))
    return found


def nearest(angles: Float[np.ndarray, " n"], places: Sequence[float]) -> Float[np.ndarray, " n"]:
    """Of some places the one nearest to each angle; NaN stays."""
    apart = np.abs(angles[:, None] - np.array(places))
    return np.where(np.isnan(angles), np.nan, np.array(places)[apart.argmin(axis=1)])


def _at_angle(angle: str, kind: str, part: pd.DataFrame, whole: float, seed: int) -> AngleResult:
    sums = part.groupby("group")[["weight", *LOSSES]].sum(min_count=1)
    found: dict[str, Any] = {name: float(sums[name].sum() / sums["baseline"].sum()) for name in ("self", "cross")}
    found |= {name: _relative(sums, "cross", name, seed) for name in RISES}
    return AngleResult(
        angle=angle,
        tokens=kind,
        performances=len(sums),
        mean_angle=None if angle == UNKNOWN else round(float(part["angle"].mean()), 1),
        share=float(part["weight"].sum()) / whole,
        gain=_relative(sums, "self", "cross", seed, below=True),
        **found,
    )


def _relative(sums: pd.DataFrame, base: str, name: str, seed: int, *, below: bool = False) -> Change | None:
    """How far one loss lies above (or below) another, as a share of it: a ratio of sums over performances."""
    whole = sums[[base, name]].dropna()
    if whole.empty or whole[base].sum() == 0:
        return None
    sign = -1.0 if below else 1.0

    def ratio(values: Float[np.ndarray, "*draws 2"]) -> Float[np.ndarray, "*draws"]:
        return np.asarray(sign * (values[..., 1] / values[..., 0] - 1))

    values = whole.to_numpy()
    counts = np.random.default_rng(seed).multinomial(len(values), np.full(len(values), 1 / len(values)), size=_DRAWS)
    low, high = np.percentile(ratio(counts @ values), [2.5, 97.5])
    interval = (float(low), float(high)) if len(values) > 1 else None
    return Change(value=float(ratio(values.sum(axis=0))), interval=interval)


def second_view(
    weights: str | Path, data: PairConfig, config: SecondViewConfig, *, device: torch.device | str = "cpu"
) -> tuple[SecondViewResult, pd.DataFrame]:
    """Measure and summarise: what goes to second_view.json, and the rows behind it.

    Raises:
        InputError: as `measure`.
    """
    rows = measure(weights, data, config, device=device)
    stored = read_weights(weights)
    drawn = f"drawn performances, rooms never seen, people {min(config.subjects)} to {max(config.subjects)}"
    return SecondViewResult(
        weights=str(weights),
        on=f"{drawn}, {config.difficulty}" if config.on == "drawn" else f"videos of {data.manifest}",
        known_cameras=config.known_cameras and stored.config.cameras != "none",
        trained_on=stored.about.get("apart"),
        angles=tuple(summarise(rows, config.angles, config.seed)),
    ), rows
