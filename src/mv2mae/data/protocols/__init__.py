"""Data sets: how each names its files, and its splits. A small file for each, or for those that share names.

To add one, write a module beside these with a `PROTOCOL` and add it below (`docs/protocols.md` has an example).
"""

from __future__ import annotations

import difflib
from dataclasses import replace
from pathlib import Path

import pandas as pd

from mv2mae.data.protocols import assembly101, egoexo4d, etri, folder, lerobot, ntu, nucla, pkummd2, rocog, synthetic
from mv2mae.data.protocols.base import Indexed, Listing, Protocol, Split, list_folder
from mv2mae.errors import InputError
from mv2mae.text import first_line, listed

__all__ = ["PROTOCOLS", "Indexed", "Listing", "Protocol", "Split", "build_index", "published_size", "select"]

PROTOCOLS: dict[str, Protocol] = {
    protocol.name: protocol
    for protocol in (
        *(
            folder.PROTOCOL,
            ntu.NTU60,
            ntu.NTU120,
            etri.ETRI,
            nucla.PROTOCOL,
            pkummd2.PROTOCOL,
            rocog.PROTOCOL,
            etri.SYNADL,
        ),
        *(assembly101.PROTOCOL, assembly101.FINE, assembly101.COARSE),
        *(egoexo4d.PROTOCOL, lerobot.PROTOCOL, synthetic.PROTOCOL),
    )
}
"""Data sets by name."""


def build_index(
    protocol: str, root: str | Path, pattern: str = "", table: str = "", group: str = "", rate: float = 0.0
) -> Indexed:
    """Finds the videos of a data set below a folder.

    Args:
        protocol: name of a data set (`PROTOCOLS`).
        root: its folder.
        pattern, table, group, rate: of `folder` only, see `Listing`.

    Raises:
        InputError: unknown data set, no such folder, or no video that fits its names.
    """
    known = _protocol(protocol)
    if not Path(root).is_dir():
        raise InputError(f"no folder at {root}; give the folder that holds the videos of {protocol}")
    for option, value in (("pattern", pattern), ("table", table), ("group", group), ("rate", rate)):
        if value and option not in known.options:
            raise InputError(f"{protocol} has fixed names and takes no {option} ({value!r}); `folder` takes one")
    listing = replace(list_folder(Path(root)), pattern=pattern, table=table, group=group, rate=rate)
    found = known.index(listing)
    if found.frame.empty:
        place, reason = found.problems[0]
        raise InputError(f"no video of {protocol} below {root} can be used; first: {place}: {reason}")
    odd = tuple((name, "its name is no valid UTF-8; rename the file or its folder") for name in listing.undecodable)
    taken = set(found.frame["path"])
    others = tuple(name for name in listing.others if name not in found.used and f"{listing.root}/{name}" not in taken)
    names = found.class_names or known.class_names
    return replace(found, class_names=names, problems=found.problems + odd, others=others)


def select(frame: pd.DataFrame, *, split: str = "", part: str = "train", query: str = "") -> pd.DataFrame:
    """Rows of a manifest: one part of a split, or those of a query, or all.

    Args:
        frame: a manifest.
        split: `PROTOCOL/SPLIT`, for instance `ntu60/xsub`.
        part: `train` or `test`; of a split.
        query: a pandas query over the manifest's columns, for instance `view in [2, 3] and subject < 10`;
            applied to what the split leaves.

    Raises:
        InputError: unknown protocol, split or part, a query that pandas refuses, or nothing left.
    """
    if part not in ("train", "test"):
        raise InputError(f"part={part!r} is unknown; choose train or test")
    if split:
        frame = _query(frame, getattr(_split(split), part), f"the {part} part of {split}")
    if query:
        frame = _query(frame, query, f"the query {query!r}")
    return frame.reset_index(drop=True)


def published_size(split: str) -> int:
    """Training videos of a public split as published; 0 where that is not known.

    Raises:
        InputError: unknown protocol or split.
    """
    return _split(split).num_videos[0]


def _protocol(name: str) -> Protocol:
    if name not in PROTOCOLS:
        close = difflib.get_close_matches(name, PROTOCOLS, n=1)
        hint = f"did you mean {close[0]}? " if close else ""
        raise InputError(f"data set {name!r} is unknown; {hint}choose one of {', '.join(sorted(PROTOCOLS))}")
    return PROTOCOLS[name]


def _split(name: str) -> Split:
    protocol, _, split = name.partition("/")
    splits = _protocol(protocol).splits
    if split not in splits:
        choices = ", ".join(f"{protocol}/{s}" for s in splits) or "none: it has no splits, give queries instead"
        raise InputError(f"split {name!r} is unknown; choices for {protocol}: {choices}")
    return splits[split]


def _query(frame: pd.DataFrame, query: str, what: str) -> pd.DataFrame:
    try:
        # the python engine, because numexpr (used where installed) refuses empty values
        rows = frame.query(query, engine="python")
    except Exception as error:  # pandas lets through what Python's parser and its own raise
        words = [c for c in ("view", "subject", "setup") if c in query and not pd.api.types.is_numeric_dtype(frame[c])]
        hint = "".join(f"; {c} holds names: {listed(sorted(frame[c].dropna().unique()))}" for c in words)
        columns = ", ".join(frame.columns)
        raise InputError(f"{what} cannot be evaluated ({first_line(error)}){hint}; columns: {columns}") from error
    if rows.empty:
        names = [column for column in ("view", "subject", "setup", "label") if frame[column].notna().any()]
        filled = [f"{name} {listed(sorted(frame[name].dropna().unique()))}" for name in names]
        hint = '; data.split "" takes all of a manifest' if what.startswith("the ") and " part of " in what else ""
        raise InputError(f"{what} ({query}) picks none of {len(frame)} videos; they have {'; '.join(filled)}{hint}")
    return rows
