"""The project's synthetic sets (the sample set among them): NTU's names with .mp4 and any numbers.

Their splits are ours. `xsub-xview` is the hard one: unseen people on an unseen camera; its training part
leaves out both.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

from mv2mae.data.protocols.base import Indexed, Listing, Protocol, Split
from mv2mae.data.protocols.ntu import ntu_index
from mv2mae.errors import InputError

_by_name = ntu_index("synthetic", setups=range(1, 10_000), actions=range(1, 1000), cameras=range(1, 1000))


def index(listing: Listing) -> Indexed:
    """All videos with NTU's names, whatever their numbers."""
    return replace(_by_name(listing), class_names=_class_names(listing.root / "classes.json"))


def _class_names(path: Path) -> tuple[str, ...]:
    """Names that `mv2mae synth` left beside its videos, by label; a set may hold only some of the labels."""
    if not path.exists():
        return ()
    try:
        names = {int(label): str(name) for label, name in json.loads(path.read_text(encoding="utf-8")).items()}
    except (ValueError, AttributeError, RecursionError) as error:
        raise InputError(f'{path} must hold the names of the labels, as {{"0": "wave", "1": "drink"}}') from error
    return tuple(names.get(label, str(label)) for label in range(max(names, default=-1) + 1))


_TEST_SUBJECT = "(subject % 5 == 0 or subject % 5 == 4)"
_TRAIN_SUBJECT = "(subject % 5 != 0 and subject % 5 != 4)"

PROTOCOL = Protocol(
    name="synthetic",
    index=index,
    splits={
        "xsub": Split(train=_TRAIN_SUBJECT, test=_TEST_SUBJECT),
        "xview": Split(train="view != 1", test="view == 1"),
        "xset": Split(train="setup % 2 == 0", test="setup % 2 == 1"),
        "xsub-xview": Split(train=f"{_TRAIN_SUBJECT} and view != 1", test=f"{_TEST_SUBJECT} and view == 1"),
    },
)
