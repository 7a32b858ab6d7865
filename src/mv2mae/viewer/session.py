"""The viewer's answers: one model, one manifest, and what is cached between requests. No HTTP here.

An answer is a dictionary for JSON and arrays beside it. Reading videos and running the model take one turn each.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from pathlib import Path
from threading import Lock
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
import torch
from jaxtyping import UInt8
from torch import Tensor

from mv2mae.config import ModelConfig
from mv2mae.data.cameras import Cameras, line_of_sight
from mv2mae.errors import InputError
from mv2mae.model.masking import masks_of_views
from mv2mae.model.motion import most_moving_token
from mv2mae.model.pretraining import MV2MAE
from mv2mae.viewer.groups import Catalogue, Group, GroupClip, Reader
from mv2mae.viewer.lru_cache import LRUCache
from mv2mae.viewer.pair_prediction import EncodedView, PairPrediction, encode, errors, losses, predict_pair
from mv2mae.viewer.requests import ClipRequest, LookRequest, MaskRequest, Weighting
from mv2mae.viewer.uploads import Uploads, shown_name
from mv2mae.visualize.reconstruct import STATISTICS_NOTES, Statistics, filled
from mv2mae.visualize.style import COLOURS, HEAT, MARK, TRUE_MARK
from mv2mae.visualize.truth import filmed_again, true_place

Answer = tuple[dict[str, Any], dict[str, np.ndarray]]

CLIP_BYTES, ENCODED_BYTES, PREDICTION_BYTES = 128 * 2**20, 64 * 2**20, 256 * 2**20
LISTED_GROUPS = 200
STATISTICS: tuple[Statistics, ...] = ("true", "visible")


@dataclass(frozen=True)
class _Source:
    """A clip that stands in as a wrong source, and in words which."""

    clip: UInt8[Tensor, "c t h w"]
    key: tuple[Any, ...]
    words: str


class Session:
    """Answers the requests of the page.

    Args:
        model: a pre-training model in evaluation mode.
        videos: rows of a manifest.
        title: what the model is called.
        frame_stride: that of its training, which the page begins with.
        fps: rate at which strides count; None = that of a group's first view.
        max_upload_bytes: for each of two files.
        cameras: what is known of the cameras of the videos.
        manifest: where the rows come from, if the generator may have made it: then truth is known.
    """

    def __init__(
        self,
        model: MV2MAE,
        videos: pd.DataFrame,
        *,
        title: str,
        frame_stride: float,
        fps: float | None = None,
        max_upload_bytes: int,
        cameras: Cameras | None = None,
        manifest: str = "",
    ) -> None:
        self.model, self.config, self.title = model, model.config, title
        self.frame_stride, self.fps = frame_stride, fps
        self.catalogue, self.manifest = Catalogue(videos, cameras), manifest
        self.uploads = Uploads(max_upload_bytes)
        self._reader = Reader(self.config.num_frames, self.config.image_size, fps)
        self._clips: LRUCache[GroupClip] = LRUCache(CLIP_BYTES, lambda clip: clip.frames.nbytes)
        self._encoded: LRUCache[EncodedView] = LRUCache(ENCODED_BYTES, lambda view: view.tokens.nbytes)
        self._predictions: LRUCache[PairPrediction] = LRUCache(PREDICTION_BYTES, lambda made: made.num_bytes)
        self._filmed = lru_cache(maxsize=2)(filmed_again)
        self._reader_lock, self._model_lock, self._film_lock = Lock(), Lock(), Lock()
        self._edition = 0  # of the uploaded files: what was made of earlier ones is never found again

    def about(self) -> dict[str, Any]:
        """The model, and what the page needs to draw."""
        config = self.config
        colours = (matplotlib.colormaps[HEAT](np.linspace(0, 1, 256))[:, :3] * 255).round().astype(int)
        return {
            "title": self.title,
            "num_frames": config.num_frames,
            "image_size": config.image_size,
            "tubelet_size": config.tubelet_size,
            "grid": config.grid,
            "num_tokens": config.num_tokens,
            "mask_ratio": config.mask_ratio,
            "masking": config.masking,
            "weighting": _weighting_words(config),
            "temperature": config.motion_temperature or 60.0,
            "has_cross_view": self.model.cross_decoder is not None,
            "has_rays": self.model.ray_embedding is not None,
            "layers": config.decoder_depth,
            "heads": config.decoder_heads,
            "parameters": sum(parameter.numel() for parameter in self.model.parameters()),
            "frame_stride": self.frame_stride,
            "fps": self.fps,
            "max_upload_bytes": self.uploads.max_bytes,
            "num_groups": len(self.catalogue.groups),
            "statistics": STATISTICS_NOTES,
            "heat": colours.flatten().tolist(),
            "mark": MARK,
            "true_mark": TRUE_MARK,
            "colours": COLOURS,
        }

    def groups(self, search: str) -> dict[str, Any]:
        """Groups of the manifest whose name holds the words of `search`."""
        found, total = self.catalogue.found(search, LISTED_GROUPS)
        listed = [{"name": group.name, "views": len(group.cameras), "label": group.label} for group in found]
        return {"groups": listed, "total": total}

    def clip(self, request: ClipRequest) -> Answer:
        """The clips of all views of a group: `frames` [v, t, h, w, 3]."""
        group, clip = self._group(request), self._clip(request)
        about = {
            "group": group.name,
            "views": [camera.view for camera in group.cameras],
            "label": group.label,
            "synchronised": group.synchronised,
            "times": clip.times,
            "duration": clip.duration,
            "cameras": [] if clip.cameras is None else clip.cameras.isfinite().all(dim=1).tolist(),
        }
        return about, {"frames": pictures(clip.frames)}

    def masks(self, request: MaskRequest) -> dict[str, Any]:
        """Random masks for target and source: the same as `mv2mae visualize --seed` draws for a pair.

        Where the model was trained to see another share of its sources, that share is shown (`source_mask_ratio`).
        """
        config = replace(self.config, mask_ratio=request.ratio, masking=request.masking)
        masks = masks_of_views(config, torch.tensor([request.seed]), 2)
        hidden = sorted(set(range(config.num_tokens)) - set(masks.shown_idx[0, 1].tolist()))
        return {"masked": masks.masked_idx[0, 0].tolist(), "source_masked": hidden}

    def look(self, request: LookRequest) -> Answer:
        """The reconstructions, each as `NAME/true` and `NAME/visible` [t, h, w, 3], and the errors as `NAME/error`."""
        made, wrong = self._predicted(request)
        target = self._view(request.clip, request.target)
        arrays: dict[str, np.ndarray] = {}
        wrongs = errors(made, target, self.config)
        for name, prediction in made.predictions.items():
            for statistics in STATISTICS:
                shown = filled(
                    target,
                    made.masked_idx,
                    prediction,
                    self.config.tubelet_size,
                    statistics,
                    floor=self.config.target_floor,
                )
                arrays[f"{name}/{statistics}"] = pictures(shown)
            by_token = np.full(self.config.num_tokens, np.nan, np.float32)
            by_token[made.masked_idx.numpy()] = wrongs[name].numpy()
            arrays[f"{name}/error"] = by_token
        if isinstance(wrong, _Source) and made.attention is not None:
            arrays["wrong source/clip"] = pictures(wrong.clip)
        return {
            "predictions": list(made.predictions),
            "wrong_source": wrong.words if isinstance(wrong, _Source) else wrong,
            "has_attention": made.attention is not None,
            "most_moving": most_moving_token(target, made.masked_idx, self.config.tubelet_size),
        }, arrays

    def losses(self, request: LookRequest, weighting: Weighting) -> Answer:
        """Losses of a look, and the target's motion `weights` [n]."""
        made, _ = self._predicted(request)
        target = self._view(request.clip, request.target)
        about = asdict(losses(made, target, self.config, weighting))
        weights = about.pop("weights")
        return {**about, "num_masked": len(made.masked_idx)}, {"weights": weights.numpy()}

    def attention(self, request: LookRequest, token: int) -> Answer:
        """Where the model looks for a target token: `weights` [layers, heads, n], NaN at masked source tokens.

        Raises:
            InputError: there is no cross-attention to show.
        """
        made, _ = self._predicted(request)
        if made.attention is None:
            missing = "the group has one view" if request.source is None else "the model was trained on single views"
            raise InputError(f"no cross-attention: {missing}")
        return {"token": token}, {"weights": made.looks_at(token, self.config.num_tokens).numpy()}

    def place(self, request: LookRequest, token: int) -> dict[str, Any]:
        """Where in the source's picture a target token really is.

        Returns:
            `line`: where the source sees the ray through the token's middle, points (right, down) in shares of the
            picture, from near to far, if both cameras are known; `tokens`: the source's tokens that have what it
            shows, by true depth, and `seen`, the share of it in sight there, if the generator made the videos (else
            both None).
        """
        clip, group = self._clip(request.clip), self._group(request.clip)
        if request.source is None:
            return {"line": [], "tokens": None, "seen": None}
        both = [group.index(request.target), group.index(request.source)]
        known = None if clip.cameras is None else clip.cameras[both]
        line = np.zeros((0, 2))
        if known is not None and known.isfinite().all():
            _, h, w = self.config.grid
            row, column = divmod(token % (h * w), w)
            line = line_of_sight(known[0].numpy(), known[1].numpy(), ((column + 0.5) / w, (row + 0.5) / h))
        return {"line": line.round(5).tolist(), **self._true_tokens(request, token, both)}

    def _true_tokens(self, request: LookRequest, token: int, both: list[int]) -> dict[str, Any]:
        name, grid = request.clip.group, self.config.grid
        with self._film_lock:
            filmed = None if name is None else self._filmed(self.manifest, name)
        if filmed is None:
            return {"tokens": None, "seen": None}
        clip = self._clip(request.clip)
        views = [self._group(request.clip).cameras[place].view for place in both]
        target, source = (
            filmed.at(view, clip.moments[place], clip.frames[place]) for view, place in zip(views, both, strict=True)
        )
        if target is None or source is None:
            return {"tokens": None, "seen": None}
        true = true_place(target, source, token, grid)
        first = token // (grid[1] * grid[2]) * (grid[1] * grid[2])
        return {"tokens": [first + place for place in true.places], "seen": true.seen}

    def take_files(self, draft: Path, names: Sequence[str]) -> dict[str, Any]:
        """Make an upload's files the group None.

        Raises:
            InputError: they cannot be read, or only one view is left of them; the earlier ones stay.
        """
        with self._reader_lock:
            group = self.uploads.accept(draft, [shown_name(name) for name in names])
            self._reader.forget()
            self._edition += 1
        return {"group": None, "views": [camera.view for camera in group.cameras]}

    def close(self) -> None:
        """Delete uploaded files."""
        with self._reader_lock:
            self.uploads.close()

    def _group(self, request: ClipRequest) -> Group:
        if request.group is not None:
            return self.catalogue[request.group]
        if self.uploads.group is None:
            raise InputError("no files of your own are here yet; drop two")
        return self.uploads.group

    def _key(self, request: ClipRequest) -> tuple[Any, ...]:
        return (request, self._edition if request.group is None else 0)

    def _clip(self, request: ClipRequest) -> GroupClip:
        group = self._group(request)

        def read() -> GroupClip:
            with self._reader_lock:
                return self._reader.clip(group, moment=request.moment, stride=request.stride)

        return self._clips.get(self._key(request), read)

    def _view(self, request: ClipRequest, view: str) -> UInt8[Tensor, "c t h w"]:
        return self._clip(request).frames[self._group(request).index(view)]

    def _predicted(self, request: LookRequest) -> tuple[PairPrediction, _Source | str]:
        """The model's answers, and the wrong source or in words why there is none."""
        wrong = self._wrong_source(request)

        def predict() -> PairPrediction:
            target = self._encode(request.clip, request.target, request.masked)
            source = wrong_view = None
            if request.source is not None and self.model.cross_decoder is not None:
                source = self._encode(request.clip, request.source, request.source_masked)
                if isinstance(wrong, _Source):
                    key = ("wrong", wrong.key, request.source_masked)
                    wrong_view = self._encoded.get(key, lambda: encode(self.model, wrong.clip, request.source_masked))
            return predict_pair(self.model, target, source, wrong_view, self._told(request))

        with self._model_lock:
            return self._predictions.get((request, self._key(request.clip)), predict), wrong

    def _told(self, request: LookRequest) -> Tensor | None:
        """The cameras of target and source, where the model is to be told."""
        clip, group = self._clip(request.clip), self._group(request.clip)
        if not request.told or request.source is None or clip.cameras is None:
            return None
        return clip.cameras[[group.index(request.target), group.index(request.source)]]

    def _encode(self, request: ClipRequest, view: str, masked: tuple[int, ...]) -> EncodedView:
        clip = self._view(request, view)
        return self._encoded.get((self._key(request), view, masked), lambda: encode(self.model, clip, masked))

    def _wrong_source(self, request: LookRequest) -> _Source | str:
        """Another performance from the source's camera if it has one; for own files another moment of the source."""
        if request.source is None or self.model.cross_decoder is None:
            return "no source, so no wrong one"
        if request.target == request.source:
            raise InputError(f"target and source are both view {request.target}; choose two")
        self._group(request.clip).index(request.source)
        other = None if request.clip.group is None else self.catalogue.another(request.clip.group, request.wrong)
        try:
            return self._elsewhere(request) if other is None else self._of_group(request, other)
        except InputError as error:  # a broken video elsewhere is no reason to show nothing
            return str(error)

    def _of_group(self, request: LookRequest, other: Group) -> _Source:
        assert request.source is not None
        views = [camera.view for camera in other.cameras]
        view = request.source if request.source in views else views[0]
        clip = ClipRequest(group=other.name, moment=request.clip.moment, stride=request.clip.stride)
        return _Source(self._view(clip, view), (clip, view), f"{other.name}, view {view}")

    def _elsewhere(self, request: LookRequest) -> _Source | str:
        """The source half its length away, where it is longer than a clip."""
        assert request.source is not None
        here = self._clip(request.clip)
        moment = (request.clip.moment + 0.5) % 1.0
        clip = ClipRequest(group=request.clip.group, moment=moment, stride=request.clip.stride)
        there = self._clip(clip)
        if there.times == here.times:
            return "none: the clip takes all of the video, and the manifest has no other group"
        words = f"view {request.source} at another moment, {there.times[0]:.2f} s"
        return _Source(self._view(clip, request.source), (self._key(clip), request.source), words)


def pictures(clips: UInt8[Tensor, "*v c t h w"]) -> np.ndarray:
    """Clips with colours last, as a canvas takes them."""
    return np.ascontiguousarray(clips.movedim(-4, -1).numpy())


def _weighting_words(config: ModelConfig) -> str:
    if config.effective_tokens is not None:
        return f"weights worth {config.effective_tokens:.0%} of the tokens"
    temperature = config.motion_temperature
    return "uniform weights" if temperature is None else f"temperature {temperature:g} on {config.motion_scale} frames"
