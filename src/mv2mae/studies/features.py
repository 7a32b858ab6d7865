"""Features of a frozen encoder for all videos of a table, kept on disk: a second look takes seconds.

What is computed lies in parts of some hundred videos, each written atomically, below a folder that is named after
(weights, videos, settings). A process that was killed goes on after the last part.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import logging
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import safetensors
import torch
from jaxtyping import Float
from rich.progress import Progress
from safetensors.torch import save
from torch import Tensor, nn
from torch.utils.data import Dataset

from mv2mae import __version__
from mv2mae.config import EvalConfig, FeatureConfig, ModelConfig, VideosConfig
from mv2mae.data.clips import EvalDataset
from mv2mae.data.loader import make_loader, worker_deaths_told
from mv2mae.data.remote import cache_folder, is_url
from mv2mae.data.room import readers_for
from mv2mae.data.store.index import INDEX
from mv2mae.data.video import available_cores
from mv2mae.data.videos import ProblemLog, Videos
from mv2mae.data.windows import ClipSpec, even_offsets
from mv2mae.errors import InputError
from mv2mae.files import atomic_write, make_writable
from mv2mae.model.encoder import Encoder
from mv2mae.model.layers import Blocks
from mv2mae.seals import SEAL, check_seal, seal
from mv2mae.weights import encoder_tensors, load_encoder, read_weights

UNTRAINED = "untrained"
"""Name of the encoder that shows what features are worth without training."""
_log = logging.getLogger(__name__)
_PART_BYTES, _PART_VIDEOS = 64 << 20, 256
"""A part holds at most so much: what a killed process loses."""


@dataclass(frozen=True)
class FrozenEncoder:
    """An encoder that is not trained any more."""

    name: str
    encoder: Encoder
    digest: str
    """Stands for its weights."""


def frozen_encoder(
    source: str | Path, *, layer: int | None = None, untrained: bool = False, seed: int = 0
) -> FrozenEncoder:
    """The encoder of a pre-training or fine-tuning run, a weights file or packaged weights.

    Args:
        source: run folder, safetensors file, or the name of packaged weights.
        layer: stop after this block, without the last norm; None = the whole encoder. (That of a classifier has no
            last norm.)
        untrained: the same encoder with first weights drawn by `seed`: what features are worth without training.

    Raises:
        InputError: no such weights, or no such block.
    """
    encoder, stored = load_encoder(source), read_weights(source)
    if untrained:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            has_norm = "norm.weight" in encoder_tensors(stored)
            encoder = Encoder(stored.config, position_grid=stored.position_grid, final_norm=has_norm).eval()
    if layer is not None:
        depth = len(encoder.blocks)
        if layer > depth:
            raise InputError(f"layer={layer}, but the encoder of {source} has {depth} blocks; give 1 to {depth}")
        encoder.blocks, encoder.norm = Blocks(encoder.blocks[:layer]), nn.Identity()
    encoder.requires_grad_(False)
    return FrozenEncoder(UNTRAINED if untrained else str(source), encoder, _digest_of(encoder))


def _digest_of(encoder: Encoder) -> str:
    found = hashlib.sha256(repr((encoder.config, encoder.position_grid)).encode())
    for name, tensor in encoder.state_dict().items():
        found.update(name.encode() + tensor.contiguous().numpy().tobytes())
    return found.hexdigest()


@dataclass(frozen=True)
class Features:
    """Features of v videos in the order of their table, c clips of each.

    l is 1 on clip level, the tubelets' moments on frame level, the tokens on token level. A video that could not
    be read has NaN everywhere, and its reason stands in `errors` by its row.
    """

    values: Float[Tensor, "v c l d"]
    """float32; float16 on token level."""
    times: Float[Tensor, "v c t"]
    """Seconds on the file's clock of the first frame of each of the t tubelets along time."""
    errors: dict[int, str] = field(default_factory=dict)

    @property
    def good(self) -> np.ndarray:
        """Whether each video could be read, [v]."""
        return ~np.isin(np.arange(len(self.values)), list(self.errors))

    def of_videos(self) -> Float[Tensor, "v d"]:
        """One feature a video: the mean over its clips, and over whatever the level tells apart."""
        return self.values.mean(dim=(1, 2), dtype=torch.float32)


def extract_features(
    frozen: FrozenEncoder,
    rows: pd.DataFrame,
    data: VideosConfig,
    config: FeatureConfig,
    *,
    folder: str | Path | None = None,
    device: str = "cpu",
    progress: bool = True,
) -> Features:
    """Features of the videos of a manifest's rows, computed as far as they are not on disk yet.

    Args:
        frozen: the encoder; clips have the size that it was made for.
        rows: of a manifest, with absolute paths.
        data: how clips are drawn (`frame_stride`, `fps`).
        folder: where parts are kept; None = below the cache, named after weights, videos and settings.
        device: where the encoder runs.

    Raises:
        InputError: no video can be read.
    """
    parts = Parts(frozen, rows, data, config, None if folder is None else Path(folder))
    parts.complete(device=device, progress=progress)
    return join([features for _, features in parts])


def join(features: Sequence[Features]) -> Features:
    """Features of several tables as those of one, one table after the other."""
    errors, first = {}, 0
    for piece in features:
        errors.update({first + row: reason for row, reason in piece.errors.items()})
        first += len(piece.values)
    values, times = (torch.cat([getattr(piece, name) for piece in features]) for name in ("values", "times"))
    return Features(values, times, errors)


class Parts:
    """The features of a table on disk, part by part: `complete` computes what is missing, iteration reads.

    Iteration gives (rows of a part, their features) in the order of the table.
    """

    def __init__(
        self,
        frozen: FrozenEncoder,
        rows: pd.DataFrame,
        data: VideosConfig,
        config: FeatureConfig,
        folder: Path | None = None,
    ) -> None:
        self.frozen, self.rows, self.data, self.config = frozen, rows.reset_index(drop=True), data, config
        self.shape = feature_shape(frozen.encoder.config, config)
        self.digest = _digest(frozen, self.rows, data, config)
        self.folder = cache_folder() / "features" / self.digest[:24] if folder is None else folder
        size = max(1, min(_PART_VIDEOS, _PART_BYTES // num_bytes(frozen.encoder.config, config)))
        self._pieces = [slice(first, min(first + size, len(rows))) for first in range(0, len(rows), size)]

    def _file(self, piece: slice) -> Path:
        return self.folder / f"{self.digest[:24]}-{piece.start:08d}.safetensors"

    def complete(self, *, device: str = "cpu", progress: bool = True) -> None:
        """Compute the parts that are not there.

        Raises:
            InputError: no video can be read, or a process that reads them has died.
        """
        missing = [piece for piece in self._pieces if not self._is_there(piece)]
        if missing:
            self._compute(missing, device, progress)
        broken = self.errors()
        if len(broken) == len(self.rows):
            raise InputError(
                f"none of the {len(self.rows)} videos can be read; first: {self.rows['path'][0]}: {broken[0]}"
            )

    def _is_there(self, piece: slice) -> bool:
        """Whether a part is there for good, or has videos that could not be read then and may be readable now."""
        file, paths = self._file(piece), self.rows["path"].iloc[piece]
        try:
            check_seal(file)
            written = file.stat().st_mtime_ns
            return not any(_may_be_mended(paths.iloc[row], written) for row in _errors_of(file))
        except FileNotFoundError:
            return False
        except InputError as error:
            _log.warning("%s; it is made again", error)
            return False

    def _compute(self, missing: list[slice], device: str, progress: bool) -> None:
        try:
            make_writable(self.folder)
        except InputError as error:
            raise InputError(f"{error}, or as MV2MAE_CACHE for what is kept") from error
        wanted = pd.concat([self.rows.iloc[piece] for piece in missing])
        shown = progress and sys.stdout.isatty()
        tell: Callable[[str], object] = (lambda line: print(f"  {line}")) if progress else (lambda line: None)
        with worker_deaths_told(), Progress(transient=True, disable=not shown) as bar:
            done = len(self.rows) - len(wanted)
            task = bar.add_task(f"  features ({Path(self.frozen.name).name})", total=len(self.rows), completed=done)
            found = encode_videos(
                self.frozen.encoder, wanted, self.data, self.config, device, lambda: bar.advance(task), tell
            )
            for piece in missing:
                _write_part(self._file(piece), [next(found) for _ in range(piece.stop - piece.start)], self.shape)

    def __iter__(self) -> Iterator[tuple[pd.DataFrame, Features]]:
        for piece in self._pieces:
            yield self.rows.iloc[piece], _read_part(self._file(piece))

    def errors(self) -> dict[int, str]:
        """Row -> reason of the videos that could not be read; the features themselves are not looked at."""
        return {piece.start + row: why for piece in self._pieces for row, why in _errors_of(self._file(piece)).items()}


def feature_shape(model: ModelConfig, config: FeatureConfig) -> tuple[int, int, int, int]:
    """Of one video: clips c, features of a clip l, width d, tubelets along time t."""
    t, h, w = model.grid
    return config.num_clips, {"clip": 1, "frame": t, "token": t * h * w}[config.level], model.encoder_width, t


def num_bytes(model: ModelConfig, config: FeatureConfig) -> int:
    """What the features of one video take."""
    clips, length, width, _ = feature_shape(model, config)
    return clips * length * width * (2 if config.level == "token" else 4)


Encoded = tuple[Tensor, Tensor] | str
"""Of one video: features [c, l, d] and times [c, t], or why there are none."""


@torch.inference_mode()
def encode_videos(
    encoder: Encoder,
    rows: pd.DataFrame,
    data: VideosConfig,
    config: FeatureConfig,
    device: str = "cpu",
    told: Callable[[], object] = lambda: None,
    tell: Callable[[str], object] = lambda line: None,
) -> Iterator[Encoded]:
    """The features of each video, in order; `told` is called after each, `tell` with what reading will take."""
    encoder = encoder.to(device)
    step = encoder.config.tubelet_size[0]
    clips = EvalDataset(
        rows,
        ClipSpec.of(data, encoder.config.num_frames, encoder.config.image_size),
        test=EvalConfig(num_clips=config.num_clips, num_crops=1),
        videos=Videos(problems=ProblemLog(warns=False)),
    )
    at_once = max(1, config.batch_size // config.num_clips)
    workers, line = _readers(clips, at_once, config.num_workers, device)
    if line:
        tell(line)
    loader = make_loader(_TimedClips(clips), None, device_batch_size=at_once, num_workers=workers, collate=list)
    for items in loader:
        good = [item for item in items if "clips" in item]
        found = iter(())
        if good:
            batch = torch.cat([item["clips"] for item in good])
            tokens = torch.cat([encoder(part.to(device)) for part in batch.split(config.batch_size)])
            values = pooled(tokens, encoder.config, config.level).cpu()
            _check_finite(values)
            found = iter(values.split(config.num_clips))
        for item in items:
            told()
            yield (next(found), item["times"][:, ::step]) if "clips" in item else item["error"]


def _readers(clips: EvalDataset, at_once: int, wanted: int | None, device: str) -> tuple[int, str]:
    """How many processes read, and what they will take, as a line; too many that were asked for are refused."""
    size = at_once * clips.test.num_clips * 3 * clips.clip.num_frames * clips.clip.size**2
    most = 0 if device == "cpu" else available_cores()
    return readers_for(wanted, most, clips.frame, size, in_memory=False, settings=("num_workers", "batch_size"))


def pooled(tokens: Float[Tensor, "b n d"], model: ModelConfig, level: str) -> Float[Tensor, "b l d"]:
    """Tokens as the level wants them."""
    if level == "token":
        return tokens.half()
    if level == "frame":
        return tokens.unflatten(1, (model.grid[0], -1)).mean(dim=2)
    return tokens.mean(dim=1, keepdim=True)


def _check_finite(values: Tensor) -> None:
    """Raises InputError for features that are no numbers: they would pass for some, in whatever is made of them."""
    if not values.isfinite().all():
        bad = int((~values.isfinite()).sum())
        raise InputError(
            f"{bad:,} of {values.numel():,} features are not finite: the weights are too large or damaged"
            + (" (tokens are kept in float16; take another level)" if values.dtype == torch.float16 else "")
        )


class _TimedClips(Dataset[dict[str, Any]]):
    """The clips of a test, with the times of their frames."""

    def __init__(self, clips: EvalDataset) -> None:
        self.clips, self.videos = clips, clips.videos

    def __len__(self) -> int:
        return len(self.clips)

    def __getitem__(self, index: int) -> dict[str, Any]:
        item: dict[str, Any] = {**self.clips[index]}
        if "clips" in item:
            offsets = even_offsets(self.clips.test.num_clips)
            item["times"] = torch.from_numpy(np.stack([self.clips.times(index, offset) for offset in offsets]))
        return item


def _digest(frozen: FrozenEncoder, rows: pd.DataFrame, data: VideosConfig, config: FeatureConfig) -> str:
    """Stands for all that the features depend on; a video counts with the state of its file, where that is known."""
    videos = [(*about, _state_of(about[0])) for about in zip(rows["path"], rows["start"], rows["end"], strict=True)]
    speed_only = {"batch_size", "num_workers"}
    settings = {name: value for name, value in dataclasses.asdict(config).items() if name not in speed_only}
    text = json.dumps([__version__, frozen.digest, settings, data.frame_stride, data.fps, videos], default=str)
    return hashlib.sha256(text.encode()).hexdigest()


def _state_of(path: str) -> tuple[int, ...] | None:
    """Size and time of the last change of a file; of a store's item those of its shard, and the size of the index.

    Without the index no item can be read. Its time is left out: `prepare` writes it anew where nothing has changed.
    """
    shard, in_store, _ = path.rpartition(".tar#")
    try:
        about = os.stat(f"{shard}.tar" if in_store else path)
        index = (os.stat(os.path.join(os.path.dirname(shard), INDEX)).st_size,) if in_store else ()
    except OSError:  # a URL, or a file that is not there
        return None
    return about.st_size, about.st_mtime_ns, *index


def _may_be_mended(path: str, since: int) -> bool:
    """Whether what could not be read may be readable now: nothing tells of a URL; of a store's item its index, which
    may have been copied again since a moment in nanoseconds, with the time of the original."""
    folder, in_store, _ = path.rpartition(".tar#")
    try:
        return is_url(path) or (
            bool(in_store) and os.stat(os.path.join(os.path.dirname(folder), INDEX)).st_ctime_ns > since
        )
    except OSError:
        return False


def _write_part(path: Path, videos: Sequence[Encoded], shape: tuple[int, int, int, int]) -> None:
    c, length, d, t = shape
    nothing = torch.full((c, length, d), torch.nan), torch.full((c, t), torch.nan, dtype=torch.float64)
    errors = {str(row): reason for row, reason in enumerate(videos) if isinstance(reason, str)}
    values, times = zip(*(nothing if isinstance(video, str) else video for video in videos), strict=True)
    kind = next((value.dtype for value in values if not value.isnan().all()), torch.float32)
    tensors = {"values": torch.stack([value.to(kind) for value in values]), "times": torch.stack(times)}
    with atomic_write(path) as temporary:
        temporary.write_bytes(save(tensors, metadata={"errors": json.dumps(errors), "seal": SEAL}))
        seal(temporary)


def _read_part(path: Path) -> Features:
    errors = _errors_of(path)
    with safetensors.safe_open(path, framework="pt") as file:
        return Features(file.get_tensor("values"), file.get_tensor("times"), errors)


def _errors_of(path: Path) -> dict[int, str]:
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            return {int(row): reason for row, reason in json.loads(file.metadata()["errors"]).items()}
    except (OSError, safetensors.SafetensorError) as error:
        raise InputError(f"{path}: features that cannot be read ({error}); delete the file") from error
