"""Files in, pictures out: `mv2mae visualize` (Figures 2 and 5 of the paper for a model and videos of one's own)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from jaxtyping import UInt8
from matplotlib.figure import Figure
from rich.console import Console
from torch import Tensor

from mv2mae.config import ModelConfig
from mv2mae.data.augment import centre_box, crop_resize
from mv2mae.data.video import probe, read_frames
from mv2mae.data.windows import clip_step, overlap, shared_clock, video_span, window_times
from mv2mae.errors import InputError
from mv2mae.model.motion import motion_energy, solve_temperature
from mv2mae.model.pretraining import MV2MAE
from mv2mae.visualize.attention import cross_attention_maps
from mv2mae.visualize.figures import attention_figure, motion_figure, reconstruction_figure
from mv2mae.visualize.reconstruct import reconstruct
from mv2mae.visualize.report import encoded
from mv2mae.weights import load_pretrained


def visualize(
    weights: str | Path, videos: Sequence[Path], out: Path, *, frame_stride: float = 4, seed: int = 0
) -> list[Path]:
    """Draw what a pre-trained model makes of synchronised videos of one performance.

    The first video is the target, the second the source; for each further one the pictures of the pair are drawn
    again and get its number (`reconstruction-3.png`). A single-view model has no cross-view pictures.

    Args:
        weights: pre-training run, weights file, or the name of packaged weights.
        videos: two or more files, one from each camera.
        out: folder for `motion.png`, `reconstruction.png` and `cross_attention.png`.
        frame_stride: distance between the clip's frames, in frames of the first video.
        seed: of the masks.

    Returns:
        the files written.

    Raises:
        InputError: fewer than two videos, one that cannot be read, or weights without decoders.
    """
    videos = [Path(video) for video in videos]
    _check(videos, out)
    model = load_pretrained(weights)
    clips, frame_seconds = read_views(videos, model.config, frame_stride=frame_stride)
    size = model.config.tubelet_size
    motion = motion_figure(clips[0], size, shown_temperatures(model.config, clips[0]), frame_seconds=frame_seconds)
    figures = {"motion": motion}
    for number, source in enumerate(clips[1:], start=2):
        suffix = "" if number == 2 else f"-{number}"
        figures.update(
            {name + suffix: made for name, made in pair_figures(model, source, clips[0], seed, frame_seconds).items()}
        )
        if model.cross_decoder is None:  # the source plays no part in a self-view reconstruction
            Console().print("this model was pre-trained on single views: it has no cross-view pictures")
            break
    return _save(figures, out)


def pair_figures(
    model: MV2MAE,
    source: UInt8[Tensor, "c t h w"],
    target: UInt8[Tensor, "c t h w"],
    seed: int,
    frame_seconds: float | None = None,
) -> dict[str, Figure]:
    """`reconstruction` and, if the model has a cross-view decoder, `cross_attention` of a pair of clips."""
    size = model.config.tubelet_size
    made = reconstruct(model, source, target, seed=seed)
    figures = {"reconstruction": reconstruction_figure(made, size, frame_seconds=frame_seconds)}
    if model.cross_decoder is not None:
        maps = cross_attention_maps(model, source[None], target[None], seeds=torch.tensor([seed]))
        figures["cross_attention"] = attention_figure(
            source, target, maps, size,
            reconstruction=made.predictions["cross-view"].clip, frame_seconds=frame_seconds,
        )  # fmt: skip
    return figures


def read_views(
    videos: Sequence[Path], config: ModelConfig, *, frame_stride: float, offset: float = 0.5
) -> tuple[UInt8[Tensor, "v c t h w"], float]:
    """Clips of the same moments from several videos, their largest centre square at the model's size.

    Args:
        frame_stride: distance between frames, in frames of the first video.
        offset: where in the shared time the clips lie, 0 (start) to 1 (end).

    Returns:
        the clips, and the seconds between two of their frames.
    """
    spans = shared_clock([video_span(probe(video)) for video in videos], [None] * len(videos))
    first, last = overlap(spans)
    times = window_times(
        first,
        last,
        num_frames=config.num_frames,
        step=clip_step(frame_stride, spans[0].fps),
        offset=offset,
        grid=1 / spans[0].fps,
    )
    clips = []
    for video, span in zip(videos, spans, strict=True):
        frames = read_frames(video, times + span.zero, short_side=config.image_size)
        clips.append(crop_resize(frames, centre_box(*frames.shape[1:3]), config.image_size))
    return torch.stack(clips), float(times[1] - times[0]) if len(times) > 1 else 0.0


def shown_temperatures(config: ModelConfig, clip: UInt8[Tensor, "c t h w"]) -> list[float]:
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


def _check(videos: Sequence[Path], out: Path) -> None:
    if len(videos) < 2:
        given = f"{len(videos)} video" + (f" ({videos[0]})" if videos else "s")
        raise InputError(
            f"{given}: the pictures need two or more synchronised videos of one performance; add another camera's"
        )
    for i, video in enumerate(videos):
        if video in videos[:i]:
            raise InputError(f"{video} is given twice; give videos of different cameras")
        if not video.is_file():
            raise InputError(f"{video}: no such video file")
    if out.exists() and not out.is_dir():
        raise InputError(f"{out} is a file; give a folder for the pictures")


def _save(figures: dict[str, Figure], out: Path) -> list[Path]:
    out.mkdir(parents=True, exist_ok=True)
    paths = [out / f"{name}.png" for name in figures]
    for path, figure in zip(paths, figures.values(), strict=True):
        path.write_bytes(encoded(figure, "png"))
    return paths
