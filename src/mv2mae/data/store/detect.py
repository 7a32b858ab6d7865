"""Cutting to the person by a detector from transformers, an extra (`pip install -e '.[detect]'`)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache

import numpy as np
import torch
from jaxtyping import Float, UInt8

from mv2mae.data.pixels import Converter
from mv2mae.data.store.crop import Edges, square_around
from mv2mae.data.video import VideoError, frames_between
from mv2mae.errors import InputError

Detector = Callable[[Sequence[UInt8[np.ndarray, "h w 3"]]], list[Float[np.ndarray, "k 4"]]]
"""Frames to the boxes of people in each: left, top, right, bottom as shares of the frame's width and height."""

_LOOKS = 8
"""Frames of a video that are looked at, spread evenly."""
_LOOK_SIDE = 480
"""Short side in pixels at which they are looked at."""
_SCORE = 0.5
"""How sure the detector must be."""
_BYSTANDER = 0.25
"""Who covers less than this share of the largest person's area in all frames is not part of the action."""


def person_box(
    path: str, start: float | None, end: float | None, height: int, width: int, detect: Detector
) -> Edges:  # fmt: skip
    """The square that holds the people of a video in all frames that are looked at, with room around them.

    Args:
        path: the video.
        start, end: the part to look at, in seconds on its clock.
        height, width: of a frame as displayed.
        detect: finds people.

    Raises:
        VideoError: nobody was found.
    """
    convert = Converter(min(_LOOK_SIDE, height, width))
    count = sum(1 for _ in frames_between(path, start, end))
    wanted = set(np.linspace(0, max(count - 1, 0), _LOOKS).round().astype(int).tolist())
    looks = [convert(frame) for i, (_, frame) in enumerate(frames_between(path, start, end)) if i in wanted]
    found = [boxes for boxes in detect(looks) if len(boxes)] if looks else []
    if not found:
        raise VideoError(path, f"shows no person that the detector finds (in {len(looks)} frames)")
    boxes = np.concatenate(found)
    areas = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    people = boxes[areas >= _BYSTANDER * areas.max()] * (width, height, width, height)
    (left, top), (right, bottom) = people[:, :2].min(axis=0), people[:, 2:].max(axis=0)
    return square_around((float(left), float(top), float(right), float(bottom)), height, width)


@lru_cache(maxsize=1)
def load_detector(model: str) -> Detector:
    """A detector of transformers: a folder, or a name on the Hugging Face hub (fetched on first use, safetensors only).

    Raises:
        InputError: transformers is not installed, there is no such model, or it knows no people.
    """
    try:
        from transformers import AutoImageProcessor, AutoModelForObjectDetection
    except ImportError as error:
        raise InputError("crop=person needs transformers; pip install -e '.[detect]'") from error
    try:
        processor = AutoImageProcessor.from_pretrained(model)
        network = AutoModelForObjectDetection.from_pretrained(model, use_safetensors=True).eval()
    except (OSError, ValueError) as error:
        reason = str(error).strip().splitlines()[0]
        raise InputError(f"detector={model} cannot be loaded ({reason}); give a folder or a model's name") from error
    person = [number for number, name in network.config.id2label.items() if str(name).lower() == "person"]
    if not person:
        raise InputError(f"detector={model} knows no class `person`; give another model")

    @torch.inference_mode()
    def detect(frames: Sequence[UInt8[np.ndarray, "h w 3"]]) -> list[Float[np.ndarray, "k 4"]]:
        out = network(**processor(images=list(frames), return_tensors="pt"))
        sizes = [(1, 1)] * len(frames)  # boxes as shares
        results = processor.post_process_object_detection(out, threshold=_SCORE, target_sizes=sizes)
        return [r["boxes"][torch.isin(r["labels"], torch.tensor(person))].clamp(0, 1).numpy() for r in results]

    return detect
