"""The one place where video files are opened for reading, whichever version of PyAV is installed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import av
from av.container import InputContainer

_LENIENT: dict[str, Any] = {"metadata_errors": "ignore"} if int(av.__version__.partition(".")[0]) < 19 else {}
"""Titles that are not UTF-8 must not keep a video shut: newer versions read them without being told to."""


def open_container(path: str | Path, options: dict[str, str] | None = None) -> InputContainer:
    """Opens a file for reading; the caller closes it.

    Args:
        path: the file.
        options: for FFmpeg.

    Raises:
        av.FFmpegError: it cannot be opened.
    """
    return av.open(str(path), options=options or {}, **_LENIENT)
