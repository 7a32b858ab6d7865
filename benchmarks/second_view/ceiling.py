"""How much of a masked target can be rebuilt from a second view at all, with true depth and cameras: no training.

Every pixel of the target is looked up where the source sees the same point, at the same moment or, if the source's
token there is masked, at the nearest one at which it is visible and shows a surface as far away. The target's own
visible tokens are looked up likewise: the same place in other moments. Both are put into the scale of the loss (each
tubelet centred and normalised, Section 3.1), and their best multiples predict the masked tokens.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from rich.progress import track

from mv2mae.config.model import Masking
from mv2mae.model.masking import draw_masks
from mv2mae.model.motion import motion_weights
from mv2mae.model.tubelets import Size3, normalised_target, tubelets
from mv2mae.synthetic.data_set import SyntheticSet
from mv2mae.synthetic.generate import build_setup, film_group
from mv2mae.synthetic.views import TRUTH, View, seen_from, view_of

ANGLES = (0.0, 5.0, 10.0, 20.0, 45.0, 90.0)
"""Degrees at which the free rig's views 1 to 6 stand, each with a lens, distance and height of its own. View 1 is the
target; its own clip is the source at 0 degrees."""
_AGREE = 0.03  # part of the distance by which the source's depth may differ where it shows the same surface
_MOST_LAG = 3  # tubelets before and after at which a static surface is looked for
_COVERED = (0.25, 0.5, 0.95)  # shares of a token that are known; a class between each two has multiples of its own
_SEEN = 0.5  # from this share on a token counts as seen by both
_CLASSES = (len(_COVERED) + 1) ** 2
_KINDS = ("all", "seen", "motion")
Known = tuple[Float[np.ndarray, "n d"], Float[np.ndarray, " n"]]
"""Tokens in the scale of the loss as far as something shows them, and which share of each it shows."""


class _Aim(NamedTuple):
    """The tokens to predict, and what each weighs."""

    tokens: Float[np.ndarray, "n d"]
    weights: Float[np.ndarray, " n"]


@dataclass(frozen=True, kw_only=True)
class CeilingConfig:
    """Clips as the model takes them, and the masks to try."""

    performances: int = 60
    size: int = 64
    num_frames: int = 16
    fps: float = 15.0
    tubelet_size: Size3 = (4, 8, 8)
    difficulty: str = "easy"
    source_ratios: tuple[float, ...] = (0.0, 0.5, 0.7)
    target_ratios: tuple[float, ...] = (0.7, 0.9, 0.95)
    maskings: tuple[Masking, ...] = ("random", "tube")
    effective_tokens: float = 0.6
    seed: int = 0

    @property
    def grid(self) -> Size3:
        """Tokens along time, height and width."""
        t, h, w = self.tubelet_size
        return self.num_frames // t, self.size // h, self.size // w


def ceiling(config: CeilingConfig, *, progress: bool = True) -> list[dict[str, Any]]:
    """The table: a row for each angle, masking and ratios of target and source.

    Returns:
        rows with `angle`, `masking`, `target_ratio`, `source_ratio`; `seen`, the share of tokens of which the whole
        source shows at least half; and the loss of masked tokens as a share of the mean baseline, from the source
        (`source`), from the target's own other moments (`own`) and from both (`both`): each over all tokens, over
        those seen by both (`..._seen`), and with motion weights (`..._motion`).
    """
    sums: dict[tuple[Any, ...], _Sums] = defaultdict(_Sums)
    scenes = track(_scenes(config), "ceiling", total=config.performances, disable=not progress)
    for number, (target, sources) in enumerate(scenes):
        aim = _Aim(_target_tokens(target, config), _weights(target, config))
        own = Lookup(target, target, config)
        masks = [(kind, ratio, *_masks(config, number, kind, ratio, view=0))
                 for kind in config.maskings for ratio in config.target_ratios]  # fmt: skip
        by_self = [own.known(visible) for _, _, visible, _ in masks]
        for angle, source in zip(ANGLES, sources, strict=True):
            there = Lookup(target, source, config)
            whole = there.known(None)
            seen = whole[1] >= _SEEN
            for ratio, kind in product(config.source_ratios, config.maskings):
                found = there.known(_masks(config, number, kind, ratio, view=1)[0]) if ratio else whole
                for (of, target_ratio, _, masked), mine in zip(masks, by_self, strict=True):
                    if of == kind:
                        sums[angle, kind, target_ratio, ratio].add(aim, mine, found, seen, masked)
    names = ("angle", "masking", "target_ratio", "source_ratio")
    return [{**dict(zip(names, key, strict=True)), **sums[key].losses()} for key in sorted(sums)]


def _scenes(config: CeilingConfig) -> Iterator[tuple[View, list[View]]]:
    """Target and sources (by `ANGLES`) of each performance, every one in a room of its own."""
    synth = SyntheticSet(
        cameras="free",
        azimuths=ANGLES,
        setups=(1,),
        own_rooms=True,
        num_groups=config.performances,
        num_frames=config.num_frames,
        fps=config.fps,
        size=config.size,
        difficulty=config.difficulty,
        truth=TRUTH,
        seed=config.seed,
    )
    for group in synth.groups():
        stages = build_setup(synth, group.setup)
        views = [view_of(f.frames, f.truth, stages[view].camera) for view, f in film_group(synth, group).items()]
        yield views[0], views


def _target_tokens(view: View, config: CeilingConfig) -> Float[np.ndarray, "n d"]:
    return normalised_target(tubelets(view.clip[None].float() / 255, config.tubelet_size))[0].numpy()


def _weights(view: View, config: CeilingConfig) -> Float[np.ndarray, " n"]:
    weights = motion_weights(view.clip[None], config.tubelet_size, effective_tokens=config.effective_tokens)[0]
    return weights.numpy() * len(weights)


def _masks(
    config: CeilingConfig, number: int, masking: Masking, ratio: float, *, view: int
) -> tuple[Int[np.ndarray, " k"], Int[np.ndarray, " m"]]:
    seeds = torch.tensor([(config.seed * 100_000 + number) * 4 + view])
    visible, masked = draw_masks(seeds, config.grid, ratio, masking)
    return visible[0].numpy(), masked[0].numpy()


class Lookup:
    """Where a source view shows the pixels of a target view, at the same moment and some tubelets before and after."""

    def __init__(self, target: View, source: View, config: CeilingConfig) -> None:
        self.config = config
        t, h, w = target.depth.shape
        moment, row, column = (axis.ravel() for axis in np.indices((t, h, w)))
        place, depth = seen_from(target, source, (moment, row, column))
        place = place + source.shake[moment]
        dt, dh, dw = config.tubelet_size
        self.found: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
        for lag in _lags(config.grid[0]):
            then = moment + lag * dt
            at = place - source.shake[np.clip(then, 0, t - 1)]
            colour, agrees = _sample(source, np.clip(then, 0, t - 1), at, depth)
            agrees &= (then >= 0) & (then < t)
            rows, columns = (np.clip(at[:, k].astype(int), 0, end - 1) for k, end in ((1, h), (0, w)))
            token = (np.clip(then, 0, t - 1) // dt * (h // dh) + rows // dh) * (w // dw) + columns // dw
            self.found.append((colour, agrees, token))

    def known(self, visible_idx: Int[np.ndarray, " k"] | None) -> Known:
        """What visible tokens of the source (None = all) show of the target's tokens.

        Returns:
            their pixels in the scale of the loss, 0 where nothing is known; and the share of each that is known.
        """
        shape = (self.config.num_frames, self.config.size, self.config.size)
        shown = np.ones(np.prod(self.config.grid), bool)
        if visible_idx is not None:
            shown[:] = False
            shown[visible_idx] = True
        colour, known = np.zeros((np.prod(shape), 3), np.float32), np.zeros(np.prod(shape), bool)
        for found, agrees, token in self.found:
            new = ~known & agrees & shown[token]
            colour[new], known = found[new], known | new
        return _normalised(
            _by_token(colour.reshape(*shape, 3), self.config), _by_token(known.reshape(*shape, 1), self.config)
        )


def _lags(num_steps: int) -> list[int]:
    """0, 1, -1, 2, -2 ... tubelets, the nearest first."""
    most = min(_MOST_LAG, num_steps - 1)
    return [0, *(sign * lag for lag in range(1, most + 1) for sign in (1, -1))]


def _sample(
    source: View, moment: np.ndarray, at: Float[np.ndarray, "p 2"], depth: Float[np.ndarray, " p"]
) -> tuple[Float[np.ndarray, "p 3"], Bool[np.ndarray, " p"]]:
    """Colours at places of the source, mixed from those of the four pixels around that lie as deep as they should;
    and whether there is one.
    """
    _, h, w = source.depth.shape
    pixels = source.clip.numpy().transpose(1, 2, 3, 0)
    corner = np.nan_to_num(at - 0.5, nan=-9.0).clip(-9, max(h, w) + 9)
    low = np.floor(corner).astype(int)
    share = corner - low
    total, weight = np.zeros((len(at), 3), np.float32), np.zeros(len(at), np.float32)
    for dx, dy in product((0, 1), repeat=2):
        x, y = low[:, 0] + dx, low[:, 1] + dy
        inside = (x >= 0) & (x < w) & (y >= 0) & (y < h) & (depth > 0)
        x, y = x.clip(0, w - 1), y.clip(0, h - 1)
        agrees = inside & (np.abs(source.depth[moment, y, x] - depth) < _AGREE * np.abs(depth))
        part = agrees * np.abs(1 - dx - share[:, 0]) * np.abs(1 - dy - share[:, 1])
        total += part[:, None] * pixels[moment, y, x]
        weight += part
    return total / (255 * np.maximum(weight, 1e-6))[:, None], weight > 1e-3


def _by_token(values: np.ndarray, config: CeilingConfig) -> Float[np.ndarray, "n p c"]:
    clip = torch.from_numpy(values.transpose(3, 0, 1, 2).copy())[None]
    return tubelets(clip, config.tubelet_size)[0].numpy()


def _normalised(parts: Float[np.ndarray, "n p 3"], known: Bool[np.ndarray, "n p 1"]) -> Known:
    """`normalised_target` over the known pixels alone, the others 0; and the share that is known."""
    count = known.sum(1, keepdims=True)
    mean = (parts * known).sum(1, keepdims=True) / np.maximum(count, 1)
    off = (parts - mean) * known
    std = np.sqrt((off**2).sum(1, keepdims=True) / np.maximum(count - 1, 1))
    return (off / (std + 1e-6)).reshape(len(parts), -1), known.mean((1, 2))


class _Sums:
    """Sums over tokens from which the best multiples and their losses follow.

    `products` [kinds, classes, 3, 3]: of (own, source, target) with each other, kinds as `_KINDS`.
    """

    def __init__(self) -> None:
        self.products = np.zeros((len(_KINDS), _CLASSES, 3, 3))
        self.seen = self.count = 0.0

    def add(
        self,
        aim: _Aim,
        own: Known,
        source: Known,
        seen: Bool[np.ndarray, " n"],
        masked_idx: Int[np.ndarray, " m"],
    ) -> None:
        """Adds the masked tokens of a pair."""
        m = masked_idx
        three = np.stack([own[0][m], source[0][m], aim.tokens[m]], axis=1)
        products = three @ three.transpose(0, 2, 1) / aim.tokens.shape[1]
        classes = [np.searchsorted(_COVERED, share[m], side="right") for share in (own[1], source[1])]
        group = classes[0] * (len(_COVERED) + 1) + classes[1]
        for kind, weight in enumerate((np.ones(len(m)), seen[m].astype(float), aim.weights[m])):
            np.add.at(self.products[kind], group, weight[:, None, None] * products)
        self.seen += float(seen[m].sum())
        self.count += len(m)

    def losses(self) -> dict[str, float]:
        """Shares of the mean baseline by predictor and kind of token; and the share of tokens seen by both."""
        found = {"seen": self.seen / self.count}
        for kind, products in zip(_KINDS, self.products, strict=True):
            for name, of in (("own", [0]), ("source", [1]), ("both", [0, 1])):
                found[name if kind == "all" else f"{name}_{kind}"] = _best_loss(products, of)
        return found


def _best_loss(products: Float[np.ndarray, "classes 3 3"], of: Sequence[int]) -> float:
    """Loss of the best multiples, one set a class, as a share of predicting 0."""
    left = 0.0
    for grams in products:
        inner, aim = grams[np.ix_(of, of)], grams[of, 2]
        left += grams[2, 2] - aim @ np.linalg.lstsq(inner, aim, rcond=1e-6)[0]
    return float(left / max(products[:, 2, 2].sum(), 1e-12))
