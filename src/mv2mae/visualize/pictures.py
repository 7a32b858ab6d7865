"""Which pictures a model can give of some views, and the drawing of them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, Shaped, UInt8
from torch import Tensor

from mv2mae.config import ModelConfig
from mv2mae.config.pictures import PICTURES, Choice, PictureConfig
from mv2mae.errors import InputError
from mv2mae.model.attention_maps import CrossAttentionMaps, cross_attention_layers, encoder_attention_maps
from mv2mae.model.encoder import Encoder
from mv2mae.model.motion import most_moving_token, motion_energy, solve_temperature
from mv2mae.model.pictures import Statistics
from mv2mae.model.pretraining import MV2MAE
from mv2mae.model.tubelets import Size3
from mv2mae.synthetic.views import View
from mv2mae.visualize.correspondences import Correspondences
from mv2mae.visualize.figures import (
    attention_strips,
    encoder_attention_strips,
    motion_strips,
    reconstruction_strips,
    relative_to_uniform,
)
from mv2mae.visualize.heads import Overview, choose
from mv2mae.visualize.inputs import Views
from mv2mae.visualize.outputs import Drawable
from mv2mae.visualize.reconstruct import reconstruct
from mv2mae.visualize.tokens import encoder_tokens, pca_strips
from mv2mae.visualize.truth import TruePlace, true_place
from mv2mae.weights import PRETRAINING, load_encoder, load_pretrained, read_weights

OF_DECODERS = ("reconstruction", "attention", "correspondences")
"""Pictures that a fine-tuned run or a bare encoder cannot give."""
OF_PAIRS = ("attention", "correspondences")
"""Those that need a second view and a cross-view decoder."""
Drawn = tuple[str, Drawable]
"""A picture and the name of its file, without ending."""


@dataclass(frozen=True)
class Subject:
    """The model that is looked at."""

    name: str
    kind: str
    """As in `mv2mae.weights`: what the file holds."""
    encoder: Encoder
    model: MV2MAE | None
    """With its decoders, if the file has them."""
    about: dict[str, Any]

    @property
    def config(self) -> ModelConfig:
        """Of the encoder, and of the decoders if there are any."""
        return self.encoder.config


def load_subject(weights: str | Path) -> Subject:
    """The model of a run, a weights file or packaged weights, with all that it has.

    Raises:
        InputError: there is none, or a tensor is missing: pictures of first weights would mislead.
    """
    stored = read_weights(weights)
    if stored.kind == PRETRAINING:
        model = load_pretrained(weights)
        return Subject(str(weights), stored.kind, model.encoder, model, stored.about)
    return Subject(str(weights), stored.kind, load_encoder(weights), None, stored.about)


def applicable(subject: Subject, num_views: int, chosen: Sequence[str] = ()) -> tuple[list[str], list[str]]:
    """Which pictures can be drawn of a performance, and why the others cannot.

    Args:
        chosen: names out of `PICTURES`; empty = all.

    Raises:
        InputError: one that was asked for by name cannot be drawn.
    """
    every = [name for name in PICTURES if name != "embedding"]
    why: dict[str, str] = {}
    if num_views < 2:
        reason = "one video alone has no cross-view pictures; add the video of another camera"
        why |= dict.fromkeys(OF_PAIRS, reason)
    if subject.model is None:
        reason = f"{subject.name} holds a model without decoders ({subject.kind})"
        why |= dict.fromkeys(OF_DECODERS, reason)
    elif subject.model.cross_decoder is None:
        reason = f"{subject.name} was pre-trained on single views: it has no cross-view pictures"
        why |= dict.fromkeys(OF_PAIRS, reason)
    can = [name for name in every if name not in why]
    for name in chosen:
        if name in why:
            raise InputError(f"{name}: {why[name]}; what can be drawn: {', '.join(can)}")
    return [name for name in can if not chosen or name in chosen], [] if chosen else list(dict.fromkeys(why.values()))


def draw(
    subject: Subject,
    views: Views,
    names: Sequence[str],
    config: PictureConfig,
    truth: Sequence[View | None] = (),
) -> Iterator[Drawn]:
    """The pictures of some views, one after the other as they are wanted.

    The first view is the target; those of pairs are drawn for each of the others as source, and those of the
    third view and on have its number in their name (`reconstruction-3`).

    Args:
        names: those of `applicable`.
        truth: of each clip, where it is known; attention's pictures then show where the token really is.

    Raises:
        InputError: no such token, layer or head.
    """
    _check_choices(subject, names, config)
    looking = _Looking(subject, views, config, truth)
    for name in names:
        yield from _DRAWING[name](looking)


def _check_choices(subject: Subject, names: Sequence[str], config: PictureConfig) -> None:
    """Refuse layers and heads that do not exist before anything is drawn."""
    wanted = [("encoder", subject.encoder.blocks, subject.config.encoder_heads, "the encoder", "encoder_layer")]
    if subject.model is not None and subject.model.cross_decoder is not None:
        blocks, heads = subject.model.cross_decoder.blocks, subject.config.decoder_heads
        wanted += [(name, blocks, heads, "the cross-view decoder", "layer") for name in OF_PAIRS]
    for name, blocks, heads, what, option in wanted:
        if name in names:
            chosen_layers(getattr(config, option), len(blocks), what, option)
            if isinstance(config.heads, int) and not 1 <= config.heads <= heads:
                choices = f"choose 1 to {heads}, mean or all"
                raise InputError(f"heads={config.heads}: {what} has {heads} heads; {choices}")


class _Looking:
    """Model, clips and choices, with what several pictures share computed once."""

    def __init__(self, subject: Subject, views: Views, config: PictureConfig, truth: Sequence[View | None]) -> None:
        self.subject, self.views, self.config, self.truth = subject, views, config, truth
        self.size = subject.config.tubelet_size
        self.target: UInt8[Tensor, "c t h w"] = views.clips[0]
        self.query = self._query()
        self._maps: dict[int, list[CrossAttentionMaps]] = {}

    @property
    def model(self) -> MV2MAE:
        assert self.subject.model is not None
        return self.subject.model

    def _query(self) -> int:
        grid = self.subject.config.grid
        if self.config.token is not None:
            return token_number(self.config.token, grid)
        candidates = torch.arange(grid[0] * grid[1] * grid[2])
        if self.subject.model is not None:
            masks = self.subject.model.draw_masks(1, 1, torch.device("cpu"), torch.tensor([self.config.seed]))
            candidates = masks.masked_idx[0, 0]
        return most_moving_token(self.target, candidates, self.size)

    def motion(self) -> Iterator[Drawn]:
        config = self.subject.config
        temperatures = shown_temperatures(config, self.target)
        has_own = config.motion_temperature is not None or config.effective_tokens is not None
        own = temperatures[2] if has_own else None
        shown: list[float | None] = [*temperatures] if has_own else [*temperatures, None]
        seconds, scale = self.views.frame_seconds, config.motion_scale
        yield "motion", motion_strips(self.target, self.size, shown, own=own, scale=scale, frame_seconds=seconds)

    def reconstructions(self) -> Iterator[Drawn]:
        every = list(self._sources()) or [0]
        # a single-view model makes the same of every source
        for view in every if self.model.cross_decoder is not None else every[:1]:
            source = self.views.clips[view] if view else None
            wrong = self.views.wrong[view] if view and self.views.wrong is not None else None
            for statistics, ending in _ENDINGS.items():
                made = reconstruct(
                    self.model,
                    source,
                    self.target,
                    seed=self.config.seed,
                    wrong_source=wrong,
                    wrong_kind=self.views.wrong_kind,
                    statistics=statistics,
                    cameras=self._cameras(view),
                )
                names = (self.views.names[0], self.views.names[view])
                strips = reconstruction_strips(made, self.size, names=names, frame_seconds=self.views.frame_seconds)
                yield f"reconstruction{ending}{_suffix(view)}", strips

    def cross_attention(self) -> Iterator[Drawn]:
        config, grid = self.config, self.subject.config.grid
        for view in self._sources():
            maps = self._maps_of(view)
            weights = [relative_to_uniform(each, self.query, grid) for each in maps]
            layers = chosen_layers(config.layer, len(maps), "the cross-view decoder", "layer")
            rows = choose(
                torch.stack([torch.from_numpy(weights[i]) for i in layers]).numpy(),
                _layer_names(layers),
                layer=config.layer,
                heads=config.heads,
            )
            source = self.views.clips[view]
            rebuilt = reconstruct(self.model, source, self.target, seed=config.seed, cameras=self._cameras(view))
            made = rebuilt.predictions["cross-view"].clip
            yield (
                f"cross_attention{_suffix(view)}",
                attention_strips(
                    source[None],
                    self.target,
                    rows,
                    self.size,
                    query=self.query,
                    visible_idx=maps[0].masks.visible_idx[0, 0],
                    reconstruction=made,
                    names=(self.views.names[0], self.views.names[view]),
                    frame_seconds=self.views.frame_seconds,
                    true=self._true_place(view),
                ),
            )
            overview = torch.stack([torch.from_numpy(each[:, 0]) for each in weights]).numpy()
            yield (
                f"cross_attention-heads{_suffix(view)}",
                Overview(
                    source,
                    overview,
                    _layer_names(range(len(maps))),
                    self.size,
                    self.query,
                    "the source view",
                    self.views.frame_seconds,
                ),
            )

    def correspondences(self) -> Iterator[Drawn]:
        config = self.config
        for view in self._sources():
            every = self._maps_of(view)
            if isinstance(config.layer, int):
                (layer,) = chosen_layers(config.layer, len(every), "the cross-view decoder", "layer")
                maps, name = every[layer], f"layer {1 + layer}"
            else:
                mean = torch.stack([each.weights for each in every]).mean(dim=0)
                maps, name = dataclasses.replace(every[0], weights=mean), "mean of layers"
            yield (
                f"correspondences{_suffix(view)}",
                Correspondences(
                    self.target,
                    self.views.clips[view],
                    maps,
                    self.size,
                    name,
                    queries=() if config.token is None else (self.query,),
                    names=(self.views.names[0], self.views.names[view]),
                    frame_seconds=self.views.frame_seconds,
                    head=config.heads - 1 if isinstance(config.heads, int) else None,
                ),
            )

    def encoder_attention(self) -> Iterator[Drawn]:
        config, encoder = self.config, self.subject.encoder
        grid, depth = encoder.config.grid, len(encoder.blocks)
        layers = chosen_layers(config.encoder_layer, depth, "the encoder", "encoder_layer")
        maps = encoder_attention_maps(
            encoder, self.target[None], torch.tensor([[self.query]]), layers=range(1, depth + 1)
        )[:, 0, :, 0]
        weights = (maps * maps.shape[-1]).unflatten(-1, grid).numpy()
        rows = choose(
            weights[list(layers), :, None], _layer_names(layers), layer=config.encoder_layer, heads=config.heads
        )
        name, seconds = self.views.names[0], self.views.frame_seconds
        yield (
            "encoder_attention",
            encoder_attention_strips(self.target, rows, self.size, query=self.query, name=name, frame_seconds=seconds),
        )
        yield (
            "encoder_attention-heads",
            Overview(
                self.target,
                weights,
                _layer_names(range(depth)),
                self.size,
                self.query,
                "its own view",
                seconds,
                marks_query=True,
            ),
        )

    def pca(self) -> Iterator[Drawn]:
        views = self.views
        tokens = encoder_tokens(self.subject.encoder, views.clips)
        yield "pca", pca_strips(views.clips, tokens, self.size, names=views.names, frame_seconds=views.frame_seconds)

    def _sources(self) -> range:
        return range(1, len(self.views.clips))

    def _maps_of(self, view: int) -> list[CrossAttentionMaps]:
        """All layers of the cross-view decoder, with this view as the source."""
        if view not in self._maps:
            source, seeds = self.views.clips[view], torch.tensor([self.config.seed])
            self._maps[view] = cross_attention_layers(
                self.model, source[None], self.target[None], seeds=seeds, cameras=self._cameras(view)
            )
        return self._maps[view]

    def _cameras(self, view: int) -> Float[Tensor, "1 v 16"] | None:
        """Of the target and this view as its source."""
        known = self.views.cameras
        return None if known is None or not view else known[[0, view]][None]

    def _true_place(self, view: int) -> TruePlace | None:
        """Where this view sees what the query shows."""
        target, source = (self.truth[0], self.truth[view]) if self.truth else (None, None)
        if target is None or source is None:
            return None
        return true_place(target, source, self.query, self.subject.config.grid)


_DRAWING: dict[str, Callable[[_Looking], Iterator[Drawn]]] = {
    "motion": _Looking.motion,
    "reconstruction": _Looking.reconstructions,
    "attention": _Looking.cross_attention,
    "correspondences": _Looking.correspondences,
    "encoder": _Looking.encoder_attention,
    "pca": _Looking.pca,
}
_ENDINGS: dict[Statistics, str] = {"true": "", "visible": "-visible"}


def _suffix(view: int) -> str:
    return f"-{view + 1}" if view > 1 else ""


def _layer_names(layers: Sequence[int]) -> list[str]:
    return [f"layer {1 + layer}" for layer in layers]


def chosen_layers(choice: Choice, depth: int, what: str, option: str) -> list[int]:
    """The places of the layers that a choice needs; who chooses counts from 1, or from the end from -1.

    Raises:
        InputError: there is no such layer.
    """
    if not isinstance(choice, int):
        return list(range(depth))
    if not 1 <= abs(choice) <= depth:
        raise InputError(f"{option}={choice}: {what} has {depth} blocks; choose 1 to {depth}, mean or all")
    return [choice - 1 if choice > 0 else depth + choice]


def token_number(token: Size3, grid: Size3) -> int:
    """The number, from 0, of the token at (time, row, column), each from 1.

    Raises:
        InputError: it lies outside of the grid.
    """
    if any(not 1 <= place <= size for place, size in zip(token, grid, strict=True)):
        t, h, w = grid
        raise InputError(
            f"token={','.join(map(str, token))} lies outside of the clip's {t} moments x {h} rows x {w} columns of "
            f"tokens (counted from 1: up to {t},{h},{w})"
        )
    time, row, column = (place - 1 for place in token)
    return (time * grid[1] + row) * grid[2] + column


def shown_temperatures(config: ModelConfig, clip: Shaped[Tensor, "c t h w"]) -> list[float]:
    """Four rising temperatures, the third being the one that the model was trained with.

    Where the model was given a share of effective tokens instead, those at which the weights are worth an eighth and
    a third of that share, the share itself, and nearly all tokens.
    """
    share = config.effective_tokens
    if share is None:
        base = config.motion_temperature or 60.0
        return [base / 12, base / 4, base, 4 * base]
    energy = motion_energy(clip[None], config.tubelet_size)
    return [float(solve_temperature(energy, part)) for part in (share / 8, share / 3, share, (7 + share) / 8)]
