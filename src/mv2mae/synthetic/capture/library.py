"""A folder of BVH files as actions: which files there are, what they show, and which are set aside."""

import csv
import hashlib
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from mv2mae.errors import InputError
from mv2mae.synthetic.capture.bvh import read_bvh
from mv2mae.synthetic.capture.retarget import Actor, Retargeted, load_actor, retarget
from mv2mae.synthetic.people.bodies import Body

TABLE = "labels.csv"
_MAX_CLASSES = 900  # NTU's names have three digits for the action, and the built-in ones come first


@dataclass(frozen=True, kw_only=True)
class MotionLibrary:
    """The captured actions of a folder.

    classes: (name, files) sorted by name; every file is a variant of its action. problems: (file, reason) of files
    that were set aside. digest: of names and contents, by which two folders with the same motions are known.
    """

    folder: Path
    classes: tuple[tuple[str, tuple[Path, ...]], ...]
    problems: tuple[tuple[str, str], ...]
    digest: str

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the captured actions."""
        return tuple(name for name, _ in self.classes)

    def files(self, name: str) -> tuple[Path, ...]:
        """The variants of an action."""
        return dict(self.classes)[name]


def read_motions(folder: str | Path) -> MotionLibrary:
    """Looks at every BVH file below a folder.

    A file's action is its sub-folder's name (`FOLDER/wave/*.bvh`), or what `FOLDER/labels.csv` (columns file, label)
    says, else the file's own name. Files that cannot be used are set aside.

    Raises:
        InputError: there is no such folder, its table is wrong, or no file can be used.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise InputError(f"motions={str(folder)!r} is not a folder; give the folder that holds the BVH files")
    found = sorted(path for path in folder.rglob("*") if path.suffix.lower() == ".bvh" and path.is_file())
    if not found:
        raise InputError(f"{folder} holds no file that ends in .bvh; motion capture is read from BVH files")
    table = _read_table(folder, found)
    classes: dict[str, list[Path]] = {}
    problems: list[tuple[str, str]] = []
    digest = hashlib.sha256()
    for path in found:
        reason, content = _examine(path, *_version(path))
        name = path.relative_to(folder).as_posix()
        if reason:
            problems.append((name, reason))
            continue
        label = table.get(name) or _label(folder, path)
        classes.setdefault(label, []).append(path)
        digest.update(f"{label}\0{name}\0{content}\n".encode())
    if not classes:
        raise InputError(f"none of the {len(found)} BVH files in {folder} can be used; the first: {problems[0][1]}")
    if len(classes) > _MAX_CLASSES:
        raise InputError(
            f"{folder} holds {len(classes)} actions, and names have room for {_MAX_CLASSES}; put the files of one "
            f"action into one sub-folder, or name their actions in {TABLE}"
        )
    return MotionLibrary(
        folder=folder,
        classes=tuple((name, tuple(classes[name])) for name in sorted(classes)),
        problems=tuple(problems),
        digest=digest.hexdigest()[:16],
    )


def perform_capture(
    library: MotionLibrary, name: str, body: Body, rng: np.random.Generator, num_frames: int, fps: float
) -> Retargeted:
    """One performance of a captured action: a variant, a moment of it and a heading, drawn from `rng`.

    A capture longer than the video is shown in part. A shorter one is shown whole: it begins at a random time, the
    first pose is held before it and the last one after it.
    """
    variants = library.files(name)
    choice, moment, turn = rng.integers(len(variants)), rng.random(), rng.normal(0, 0.12)
    actor = load_actor(variants[int(choice)])
    slack = actor.seconds - (num_frames - 1) / fps
    return retarget(actor, body, moment * slack + np.arange(num_frames) / fps, heading=float(turn))


def _version(path: Path) -> tuple[int, int]:
    try:
        status = path.stat()
    except OSError:
        return 0, 0
    return status.st_mtime_ns, status.st_size


@cache
def _examine(path: Path, changed_ns: int, size: int) -> tuple[str, str]:
    """Why a file cannot be used ("" if it can), and the digest of its bytes; remembered while it does not change."""
    try:
        Actor(read_bvh(path))
    except InputError as error:
        return str(error), ""
    return "", hashlib.sha256(path.read_bytes()).hexdigest()


def _label(folder: Path, path: Path) -> str:
    """The nearest sub-folder's name, or the file's own."""
    return path.parent.name if path.parent != folder else path.stem


def _read_table(folder: Path, found: list[Path]) -> dict[str, str]:
    """{file relative to the folder: label}."""
    file = folder / TABLE
    if not file.exists():
        return {}
    try:
        with file.open(newline="", encoding="utf-8-sig") as lines:
            rows = csv.DictReader(lines)
            if not {"file", "label"} <= set(rows.fieldnames or ()):
                raise InputError(f"{file} has the columns {rows.fieldnames}; expected file,label in its first line")
            table = {(row["file"] or "").strip(): (row["label"] or "").strip() for row in rows}
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{file} cannot be read: {error}; expected a CSV file with the columns file,label") from None
    known = {path.relative_to(folder).as_posix() for path in found}
    for name, label in table.items():
        if name not in known:
            raise InputError(f"{file} names {name!r}, which is not in the folder; names are relative to {folder}")
        if not label:
            raise InputError(f"{file} gives {name!r} no label; write one, or leave the line out")
    return table
