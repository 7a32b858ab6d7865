"""The header of a store: its layout, and the settings that it was begun with."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

from mv2mae.config import StoreConfig
from mv2mae.errors import InputError
from mv2mae.records import read_record, write_record

VERSION = 1
"""Of the layout; a reader refuses others."""


def check_header(file: Path, config: StoreConfig) -> None:
    """Writes the header of a new store, or makes sure that an old one was begun with the same settings.

    Where the boxes stand is no setting: the boxes themselves are compared item by item.

    Raises:
        InputError: another layout, or other settings.
    """
    mine = {name: value for name, value in asdict(config).items() if name != "boxes"}
    if config.crop != "person":
        del mine["detector"]  # it changes nothing, and older stores do not have it
    if not file.exists():
        write_record(file, {"version": VERSION, "settings": mine})
    theirs = read_header(file).get("settings", {})  # read back: another machine may have begun it in this moment
    theirs = {"deinterlace": False, **theirs}  # older stores do not have it
    for name, value in mine.items():
        if theirs.get(name) != value:
            raise InputError(
                f"{file.parent} was begun with {name}={theirs.get(name)}, not {name}={value}; "
                "give the old setting, another folder, or delete this one"
            )


def read_header(file: Path) -> dict[str, dict[str, object]]:
    """The header of a store.

    Raises:
        InputError: it is damaged, or of another layout.
    """
    try:
        header = read_record(file)
        version = header["version"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"{file} is no header of a store ({type(error).__name__}); prepare into an empty folder"
        ) from error
    if version != VERSION:
        raise InputError(f"{file}: layout {version} of the store, layout {VERSION} was expected; prepare it again")
    return dict(header)
