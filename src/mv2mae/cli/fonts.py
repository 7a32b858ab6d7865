"""Where Matplotlib keeps its list of fonts when the home folder cannot be written."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path


def keep_fonts() -> None:
    """Give Matplotlib a folder that stays, before it is imported, where its own cannot be made.

    It would warn otherwise, and look for all fonts again in every call, for seconds.
    """
    if "MPLCONFIGDIR" in os.environ or os.name != "posix":
        return
    home = Path(os.environ.get("HOME") or "/nonexistent")
    config, cache = (
        Path(os.environ.get(name) or home / default)
        for name, default in (("XDG_CONFIG_HOME", ".config"), ("XDG_CACHE_HOME", ".cache"))
    )
    if all(_is_writable(folder / "matplotlib") for folder in (config, cache)):
        return
    own = Path(tempfile.gettempdir()) / f"mv2mae-matplotlib-{os.getuid()}"
    try:
        own.mkdir(mode=0o700, exist_ok=True)
        if own.lstat().st_uid == os.getuid() and not own.is_symlink() and _is_writable(own):
            os.environ["MPLCONFIGDIR"] = str(own)
    except OSError:
        pass  # then it warns


def _is_writable(folder: Path) -> bool:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return False
    return os.access(folder, os.W_OK)
