"""Figure 5 as a measurement: does the cross-view decoder look where the same part of the body is?

Performances are drawn before two cameras. For every masked target token that shows a part of the body, the
cross-attention over the visible source tokens is compared with what the renderer and the cameras know. Nothing is
fitted: the attention is taken as it is.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from jaxtyping import Bool, Float, Int
from rich.progress import track
from torch import Tensor

from mv2mae.config import GeometryConfig, VideosConfig
from mv2mae.errors import InputError
from mv2mae.model.attention_maps import CrossAttentionMaps, check_cross_view, cross_attention_layers
from mv2mae.model.pretraining import MV2MAE
from mv2mae.model.tubelets import Size3
from mv2mae.studies.geometry.two_views import TokenTruth, TwoViews, draw_pairs, token_truth
from mv2mae.synthetic.data_set import SyntheticSet
from mv2mae.weights import load_pretrained, read_weights

MEASURES = {
    "part_hit": "the peak is on a token that shows the same part of the body",
    "person_hit": "the peak is on the person",
    "part_mass": "share of the attention on tokens that show the same part",
    "distance": "from the peak to where the source sees the token's part, in tokens",
    "near_hit": "the peak is at most one token from there",
    "moment_hit": "the peak is in the same moment",
    "exact_hit": "the peak is the visible token nearest to there, at any moment",
    "moved_hit": "near, of tokens whose part lies more than a token from their own place",
}
"""What is measured of each token. `part_hit` and `part_mass` count tokens whose part some visible source token shows;
`near_hit` those with a visible token so near, `moved_hit` of them those where the same place is further off;
`distance` and `exact_hit` those whose part projects into the source picture."""
MODEL, UNTRAINED = "model", "untrained"
UNIFORM, PERSON, PLACE, TRUE_PLACE = "uniform", "on the person", "same place", "true place"
"""Ways to look that know nothing, where the person is, only the token's own place, and the true projection."""
FRAME_RATE = 30.0
"""Frames a second at which `frame_stride` counts where the weights say nothing else."""
NEAR = 1.0
_ROUNDING = 1e-4
_MASKS = 1  # last entry of a seed


# --- one direction of one pair ---------------------------------------------------------------------------


@dataclass(frozen=True)
class Queries:
    """The m masked target tokens that show a part of the body, against the k visible source tokens."""

    tokens: Int[Tensor, " m"]
    """Which of the target's tokens they are."""
    part: Int[Tensor, " m"]
    """What each shows (`synthetic.views.BODY`)."""
    same_part: Bool[Tensor, "m k"]
    """Whether the source token shows the same part."""
    on_person: Bool[Tensor, " k"]
    """Whether it shows the person."""
    distance: Float[Tensor, "m k"]
    """From its middle to where the source sees the target token's part, in tokens; NaN if outside of the picture."""
    same_moment: Bool[Tensor, "m k"]
    """Whether it is at the target token's time."""
    gap: Float[Tensor, "m k"]
    """From its place in the (t, h, w) grid to that of the target token, in tokens."""
    shift: Float[Tensor, " m"]
    """From the target token's own place to where the source sees its part, in tokens."""


def ask(
    target: TokenTruth, source: TokenTruth, masked_idx: Tensor, visible_idx: Tensor, grid: Size3, patch: tuple[int, int]
) -> Queries:
    """The queries of a pair.

    Args:
        masked_idx: masked tokens of the target. visible_idx: visible tokens of the source.
        patch: height and width of a token in pixels.
    """
    tokens = masked_idx[target.part[masked_idx] > 0].sort().values
    part, places = target.part[tokens], _grid_places(grid)
    here, there = places[tokens][:, None], places[visible_idx][None]
    side = torch.tensor([patch[1], patch[0]])
    point = (target.place[tokens] / side)[:, None]  # right, down; in tokens
    distance = (there[..., [2, 1]] + 0.5 - point).norm(dim=-1)
    inside = ((point >= 0) & (point < torch.tensor([grid[2], grid[1]]))).all(dim=-1)
    return Queries(
        tokens=tokens,
        part=part,
        same_part=source.shows[visible_idx].T[part],
        on_person=source.shows[visible_idx, 0],
        distance=distance.masked_fill(~inside, float("nan")),
        same_moment=here[..., 0] == there[..., 0],
        gap=(here - there).norm(dim=-1),
        shift=(here[:, 0, [2, 1]] + 0.5 - point[:, 0]).norm(dim=-1),
    )


def _grid_places(grid: Size3) -> Float[Tensor, "n 3"]:
    """Time, row and column of each token."""
    axes = torch.meshgrid(*(torch.arange(size) for size in grid), indexing="ij")
    return torch.stack([axis.flatten() for axis in axes], dim=-1).float()


def score(weights: Float[Tensor, "*maps m k"], queries: Queries) -> Float[Tensor, "*maps m measures"]:
    """What `MEASURES` says of attention maps; NaN where a token does not count.

    Of equal peaks each counts the same share, so that uniform weights score exactly what chance would.
    """
    peak = (weights == weights.amax(dim=-1, keepdim=True)).float()
    peak = peak / peak.sum(dim=-1, keepdim=True)
    same, near = queries.same_part.float(), (queries.distance <= NEAR).float()
    nearest = (queries.distance <= queries.distance.amin(dim=-1, keepdim=True) + _ROUNDING).float()
    known = ~queries.distance.isnan().any(dim=-1)
    nan = torch.tensor(float("nan"))
    found = [
        torch.where(same.any(dim=-1), (peak * same).sum(dim=-1), nan),
        (peak * queries.on_person).sum(dim=-1),
        torch.where(same.any(dim=-1), (weights * same).sum(dim=-1), nan),
        (peak * queries.distance).sum(dim=-1),
        torch.where(known & near.any(dim=-1), (peak * near).sum(dim=-1), nan),
        (peak * queries.same_moment).sum(dim=-1),
        torch.where(known, (peak * nearest).sum(dim=-1), nan),
        torch.where(known & near.any(dim=-1) & (queries.shift > NEAR), (peak * near).sum(dim=-1), nan),
    ]
    return torch.stack(found, dim=-1)


def blind_lookers(queries: Queries) -> dict[str, Float[Tensor, "m k"]]:
    """Maps to compare with: every visible token alike; those on the person; the one nearest to the token's own place
    in the grid; the one nearest to the true projection (same moment first). The last is what geometry can reach.
    """
    everywhere = torch.ones_like(queries.gap)
    person = queries.on_person.float().expand_as(everywhere)
    person = person if queries.on_person.any() else everywhere
    # among places equally near, the same moment
    true = queries.distance.nan_to_num(0.0) + 1e-3 * (~queries.same_moment)
    maps = {UNIFORM: everywhere, PERSON: person, PLACE: _nearest(queries.gap), TRUE_PLACE: _nearest(true)}
    return {name: weights / weights.sum(dim=-1, keepdim=True) for name, weights in maps.items()}


def _nearest(distance: Tensor) -> Tensor:
    return (distance == distance.amin(dim=-1, keepdim=True)).float()


# --- all pairs -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Measured:
    """Of all q query tokens, what each looker scored."""

    rows: pd.DataFrame
    """A row a token: `performance`, `angle` (degrees between the cameras), `at` (those asked for, or NaN), `part`."""
    blind: dict[str, Float[np.ndarray, "q measures"]]
    """By name, `UNIFORM` to `TRUE_PLACE`."""
    maps: dict[str, Float[np.ndarray, "models layers heads+1 q measures"]]
    """Of `MODEL` (one) and `UNTRAINED` (some), by decoder block and head; the last head is the mean over them."""


def measure(weights: str | Path, config: GeometryConfig, *, device: torch.device | str = "cpu") -> Measured:
    """Draw performances and measure where a model looks, and where the same model looks before training.

    Args:
        weights: pre-training run, weights file, or the name of packaged weights.

    Raises:
        InputError: no such weights, no cross-view decoder, no such cameras, or nothing to count.
    """
    model = load_pretrained(weights).to(device)
    check_cross_view(model)
    drawn = drawing(weights, config)
    untrained = [_first_weights(model, config.seed + k).to(device) for k in range(config.untrained)]
    models = {MODEL: [model], UNTRAINED: untrained}
    parts = [
        part
        for number in track(range(config.performances), "measuring pairs", transient=True)
        for part in _measured_pair(models, drawn, config, number, torch.device(device))
    ]
    rows = pd.concat([part.rows for part in parts], ignore_index=True)
    if rows.empty:
        raise InputError(f"no masked token shows {config.min_share:.0%} of a body part; give a smaller min_share")
    return Measured(
        rows,
        {name: np.concatenate([part.blind[name] for part in parts]) for name in parts[0].blind},
        {name: np.concatenate([part.maps[name] for part in parts], axis=3) for name in models},
    )


def _first_weights(model: MV2MAE, seed: int) -> MV2MAE:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return MV2MAE(model.config, model.encoder.position_grid).eval()


def drawing(weights: str | Path, config: GeometryConfig) -> SyntheticSet:
    """What to draw: clips of the model's size, its frames as far apart as in its training.

    Raises:
        InputError: the preset is unknown, or the renderer does not draw frames of the model's size.
    """
    stored = read_weights(weights)
    size = stored.config.image_size
    if size % 2 or not 32 <= size <= 480:
        raise InputError(f"{weights} takes clips of {size} pixels; only even sizes from 32 to 480 can be drawn")
    stride = config.frame_stride or stored.about.get("frame_stride") or VideosConfig().frame_stride
    return SyntheticSet(
        **config.rig(),
        azimuths=(0.0, *config.angles) if config.angles else (),
        difficulty=config.difficulty,
        num_frames=stored.config.num_frames,
        fps=float(stored.about.get("fps") or FRAME_RATE) / stride,
        size=size,
        seed=config.seed,
    )


def _measured_pair(
    models: dict[str, list[MV2MAE]], drawn: SyntheticSet, config: GeometryConfig, number: int, device: torch.device
) -> Iterator[Measured]:
    """Both directions of each pair of views of a performance."""
    for pair, at in zip(draw_pairs(drawn, number), config.angles or [float("nan")], strict=True):
        yield from _both_directions(models, pair, at, config, number, device)


def _both_directions(
    models: dict[str, list[MV2MAE]],
    pair: TwoViews,
    at: float,
    config: GeometryConfig,
    number: int,
    device: torch.device,
) -> Iterator[Measured]:
    shape, (views, angle) = models[MODEL][0].config, pair
    truths = [token_truth(view, other, shape.tubelet_size, config.min_share) for view, other in (views, views[::-1])]
    target = torch.stack([view.clip for view in views]).to(device)
    seeds = torch.from_numpy(np.random.default_rng((config.seed, number, _MASKS)).integers(2**60, size=2)).to(device)
    poses = torch.stack([torch.from_numpy(view.camera.pinhole().vector()) for view in views]).to(device)
    # a model without rays leaves them aside
    cameras = torch.stack([poses, poses.flip(0)]) if config.known_cameras else None
    found = {
        name: [cross_attention_layers(model, target.flip(0), target, seeds=seeds, cameras=cameras) for model in group]
        for name, group in models.items()
    }
    for item in range(2):
        any_maps = found[MODEL][0][0]
        masked, visible = any_maps.masks.masked_idx[item, 0].cpu(), any_maps.source_idx[item].cpu()
        queries = ask(truths[item], truths[1 - item], masked, visible, shape.grid, shape.tubelet_size[1:])
        rows = pd.DataFrame({"performance": number, "angle": angle, "at": at, "part": queries.part.numpy()})
        blind = {name: score(weights, queries).numpy() for name, weights in blind_lookers(queries).items()}
        maps = {name: np.stack([_of_heads(layers, item, queries) for layers in group]) for name, group in found.items()}
        yield Measured(rows, blind, maps)


def _of_heads(
    layers: list[CrossAttentionMaps], item: int, queries: Queries
) -> Float[np.ndarray, "layers heads+1 m measures"]:
    maps = torch.stack([layer.weights[item].cpu()[:, queries.tokens] for layer in layers])
    return score(torch.cat([maps, maps.mean(dim=1, keepdim=True)], dim=1), queries).numpy()
