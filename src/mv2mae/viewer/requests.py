"""What the page may request: each request as a frozen value, read from JSON and checked before anything is done.

They are the keys of the caches, so equal requests are answered once.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, get_args

from mv2mae.config import Masking, ModelConfig
from mv2mae.errors import InputError

MIN_STRIDE, MAX_STRIDE = 0.01, 1000.0


@dataclass(frozen=True, kw_only=True)
class ClipRequest:
    """A clip of every view of a group, at one moment."""

    group: str | None
    """The manifest's name; None = the files that were dropped in."""
    moment: float = 0.5
    """Where in the time that all views share the clip lies, 0 (start) to 1 (end)."""
    stride: float = 4.0
    """Frames, at the session's rate, from one frame of the clip to the next."""


@dataclass(frozen=True, kw_only=True)
class LookRequest:
    """What the model makes of one view of a clip, with the help of another."""

    clip: ClipRequest
    target: str
    source: str | None
    """None where the group has one view only: the self-view reconstruction alone."""
    masked: tuple[int, ...]
    """The target's masked tokens, rising."""
    source_masked: tuple[int, ...]
    """The source's masked tokens, rising: where the cross-view decoder cannot look. None at all: it is shown whole."""
    wrong: int = 1
    """Which wrong source: so many groups further on in the manifest."""
    told: bool = True
    """Whether a model with rays is told where the cameras stand, as far as that is known."""


@dataclass(frozen=True, kw_only=True)
class Weighting:
    """How the loss weighs the tokens: as in the training, at a temperature, or all the same (both None)."""

    as_trained: bool = True
    temperature: float | None = None


@dataclass(frozen=True, kw_only=True)
class MaskRequest:
    """Random masks for a target and a source."""

    seed: int
    ratio: float
    masking: Masking


def read_clip(values: Mapping[str, Any]) -> ClipRequest:
    """From JSON: `group`, `moment`, `stride`.

    Raises:
        InputError: a value is missing, or of the wrong kind or size; so do the other readers here.
    """
    group = values.get("group")
    if group is not None and not isinstance(group, str):
        raise InputError(f"group={str(group)[:40]} must be a group's name, or null for your own files")
    return ClipRequest(
        group=group,
        moment=_number(values, "moment", 0, 1),
        stride=_number(values, "stride", MIN_STRIDE, MAX_STRIDE),
    )


def read_look(values: Mapping[str, Any], config: ModelConfig) -> LookRequest:
    """From JSON: what `read_clip` reads, `target`, `source`, `masked`, `source_masked`, `wrong`, `told`."""
    source = values.get("source")
    return LookRequest(
        clip=read_clip(values),
        target=str(values.get("target")),
        source=None if source is None else str(source),
        masked=_tokens(values, "masked", config),
        source_masked=_tokens(values, "source_masked", config),
        wrong=int(_number(values, "wrong", 1, 2**31)),
        told=values.get("told") is not False,
    )


def read_masks(values: Mapping[str, Any], config: ModelConfig) -> MaskRequest:
    """From JSON: `seed`, `ratio` (more than none, less than all tokens), `masking`."""
    kinds: tuple[Masking, ...] = get_args(Masking)
    masking = next((kind for kind in kinds if kind == values.get("masking")), None)
    if masking is None:
        raise InputError(f"masking={str(values.get('masking'))[:40]} is unknown; choose {', '.join(kinds)}")
    wanted = MaskRequest(
        seed=int(_number(values, "seed", 0, 2**31)), ratio=_number(values, "ratio", 0, 1), masking=masking
    )
    t, h, w = config.grid
    wholes = {"tube": (h * w, "places of a frame"), "frame": (t, "moments")}
    places, what = wholes.get(masking, (t * h * w, "tokens"))
    count = int(wanted.ratio * places)
    if not 0 < count < places:
        raise InputError(
            f"a mask ratio of {wanted.ratio:g} masks {count} of {places} {what}; leave some of either kind"
        )
    return wanted


def read_weighting(values: Mapping[str, Any]) -> Weighting:
    """From JSON: `weighting`: `trained`, `uniform` or `temperature`, the last with `temperature`."""
    kind = values.get("weighting")
    if kind not in ("trained", "uniform", "temperature"):
        raise InputError(f"weighting={str(kind)[:40]} is unknown; choose trained, uniform or temperature")
    temperature = _number(values, "temperature", 1e-4, 1e6) if kind == "temperature" else None
    return Weighting(as_trained=kind == "trained", temperature=temperature)


def read_token(values: Mapping[str, Any], config: ModelConfig) -> int:
    """From JSON: `token`, one of the clip's."""
    return int(_number(values, "token", 0, config.num_tokens - 1))


def _number(values: Mapping[str, Any], name: str, low: float, high: float) -> float:
    value = values.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
        raise InputError(f"{name}={str(value)[:40]} must be a number from {low:g} to {high:g}")
    return float(value)


def _tokens(values: Mapping[str, Any], name: str, config: ModelConfig) -> tuple[int, ...]:
    given, n = values.get(name), config.num_tokens
    if not isinstance(given, list) or not all(type(token) is int and 0 <= token < n for token in given[: n + 1]):
        raise InputError(f"{name} must be a list of tokens from 0 to {n - 1}")
    tokens = tuple(sorted(set(given[: n + 1])))
    if name == "source_masked" and len(tokens) == n:
        raise InputError(f"all {n} tokens of the source are masked; leave at least one visible")
    if name == "masked" and not 0 < len(tokens) < n:
        raise InputError(
            f"{len(tokens)} of {n} tokens of the target are masked; leave at least one masked and one visible"
        )
    return tokens
