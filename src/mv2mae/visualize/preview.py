"""What a synthetic data set will look like: each action once, with names."""

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

from mv2mae.errors import InputError
from mv2mae.synthetic.data_set import SyntheticSet
from mv2mae.synthetic.encode import room_on_disk
from mv2mae.synthetic.preview import one_of_each, tiles

_MOST_COLUMNS = 12
_ENDINGS: dict[str, dict[str, Any]] = {".jpg": {"quality": 85}, ".webp": {"quality": 85}, ".png": {"optimize": True}}
"""Kinds of pictures, and how each is written."""
_LABEL_WIDTH, _HEAD_HEIGHT = 96, 18  # pixels of the sheet's margins
_DPI = 100


def preview(path: str | Path, config: SyntheticSet) -> Path:
    """Writes a picture with each action once: labelled rows; views side by side at up to three moments.

    People and rooms change from row to row; all of them belong to the data set. Of many cameras some are shown.

    Raises:
        InputError: the name ends in something else than .jpg, .webp or .png, or the disk is full.
    """
    path = Path(path)
    if path.suffix not in _ENDINGS:
        raise InputError(f"preview={path}; give a file that ends in .jpg, .webp or .png (ten times as large)")
    groups = one_of_each(config)
    views = config.views[:: -(-len(config.views) // 8)]
    moments = (0.3, 0.5, 0.7)[: max(1, _MOST_COLUMNS // len(views))]
    sheet = tiles(config, groups, moments, views, progress=True)
    heads = [f"view {view}" + (f", {moment:.0%}" if len(moments) > 1 else "") for moment in moments for view in views]
    rows = [f"{group.action}\nperson {group.subject}\nsetup {group.setup}" for group in groups]
    with room_on_disk(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(_labelled(sheet, rows, heads)).save(path, **_ENDINGS[path.suffix])
    return path


def _labelled(sheet: np.ndarray, rows: list[str], heads: list[str]) -> np.ndarray:
    """The sheet with a name before each row and one over each column."""
    h, w = sheet.shape[0] + _HEAD_HEIGHT, sheet.shape[1] + _LABEL_WIDTH
    figure = Figure(figsize=(w / _DPI, h / _DPI), dpi=_DPI, facecolor="white")
    canvas = FigureCanvasAgg(figure)
    tall, wide = sheet.shape[0] / len(rows), sheet.shape[1] / len(heads)
    for k, text in enumerate(rows):
        figure.text(4 / w, 1 - (_HEAD_HEIGHT + (k + 0.5) * tall) / h, text, fontsize=6.5, va="center")
    for k, text in enumerate(heads):
        x = (_LABEL_WIDTH + (k + 0.5) * wide) / w
        figure.text(x, 1 - _HEAD_HEIGHT / 2 / h, text, fontsize=6.5, ha="center", va="center")
    canvas.draw()
    out: np.ndarray = np.asarray(canvas.buffer_rgba())[:h, :w, :3].copy()
    out[_HEAD_HEIGHT:, _LABEL_WIDTH:] = sheet
    return out
