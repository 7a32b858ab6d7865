"""Reads BVH motion capture: a skeleton as text, then a row of channel values per frame."""

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mv2mae.errors import InputError
from mv2mae.synthetic.rotations import rotation

MAX_BYTES = 200_000_000
_MAX_JOINTS = 2000
_CHANNEL = re.compile(r"([xyz])(position|rotation)", re.IGNORECASE)
_FRAMES = re.compile(r"\s*frames\s*:\s*(\S+)\s+frame\s+time\s*:\s*(\S+)", re.IGNORECASE)


@dataclass(frozen=True, kw_only=True)
class Capture:
    """A recorded motion of t frames and j joints, in the file's own axes and units.

    names [j]; an End Site is the joint "PARENT end". parents [j], -1 for the root, always smaller than the joint's
    own index. offsets [j, 3] from the parent at rest. channels: (joint, "position" or "rotation", axis) for each
    column of values [t, c] (degrees). frame_s: seconds a frame.
    """

    path: Path
    names: tuple[str, ...]
    parents: tuple[int, ...]
    offsets: np.ndarray
    channels: tuple[tuple[int, str, int], ...]
    values: np.ndarray
    frame_s: float

    @property
    def num_frames(self) -> int:
        """How many frames were recorded."""
        return len(self.values)

    def rest(self) -> np.ndarray:
        """Positions [j, 3] with no rotation at all."""
        places = self.offsets.copy()
        for joint, parent in enumerate(self.parents):
            if parent >= 0:
                places[joint] += places[parent]
        return places

    def pose(self, frames: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Forward kinematics at frame numbers [t].

        Returns:
            rotations [t, j, 3, 3] of the joints against their rest, and positions [t, j, 3].
        """
        values = self.values[frames]
        turns: np.ndarray = np.tile(np.eye(3), (len(frames), len(self.names), 1, 1))
        places: np.ndarray = np.tile(self.offsets, (len(frames), 1, 1))
        for column, (joint, kind, axis) in enumerate(self.channels):
            if kind == "position":  # a joint with position channels is placed by them, not by its offset
                places[:, joint, axis] = values[:, column]
            else:
                turns[:, joint] = turns[:, joint] @ rotation(axis, np.deg2rad(values[:, column]))
        for joint, parent in enumerate(self.parents):
            if parent >= 0:
                places[:, joint] = places[:, parent] + np.einsum("tab,tb->ta", turns[:, parent], places[:, joint])
                turns[:, joint] = turns[:, parent] @ turns[:, joint]
        return turns, places


def read_bvh(path: str | Path) -> Capture:
    """Reads a file.

    Raises:
        InputError: it cannot be read, is no BVH, is damaged or cut off, or is larger than `MAX_BYTES`.
    """
    path = Path(path)
    head, motion = _sections(path, _text(path))
    parser = _Hierarchy(path)
    for line in head:
        parser.read(line)
    parser.check_complete()
    frames, frame_s, numbers = _motion_head(path, motion)
    return Capture(
        path=path,
        names=tuple(parser.names),
        parents=tuple(parser.parents),
        offsets=np.array(parser.offsets, float),
        channels=tuple(parser.channels),
        values=_values(path, numbers, frames, len(parser.channels)),
        frame_s=frame_s,
    )


def _text(path: Path) -> str:
    try:
        size = path.stat().st_size
        if size > MAX_BYTES:
            raise InputError(f"{path} has {size / 1e6:.0f} MB; a BVH file may have {MAX_BYTES // 10**6} MB: cut it")
        data = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror or error}") from None
    if not data.strip():
        raise InputError(f"{path} is empty; expected a BVH file")
    text = data.decode("utf-8-sig", errors="replace")
    if "HIERARCHY" not in text[:10_000].upper():
        raise InputError(f"{path} is no BVH file: it does not begin with HIERARCHY")
    return text


def _sections(path: Path, text: str) -> tuple[list[str], str]:
    """The lines of the hierarchy (braces on lines of their own), and what follows the keyword MOTION."""
    found = re.search(r"^\s*MOTION\s*$", text, re.IGNORECASE | re.MULTILINE)
    if found is None:
        raise InputError(f"{path} has no MOTION section; it is cut off or holds a skeleton only")
    head = _without_comments(text[: found.start()])
    lines = [" ".join(line.split()) for line in re.sub(r"([{}])", r"\n\1\n", head).split("\n")]
    lines = [line for line in lines if line]
    return lines[1:], _without_comments(text[found.end() :])


def _without_comments(text: str) -> str:
    return re.sub(r"^[ \t]*(#|//).*$", "", text, flags=re.MULTILINE)


class _Hierarchy:
    """Takes the hierarchy line by line; `open` is the stack of joints whose braces are not closed yet."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.names: list[str] = []
        self.parents: list[int] = []
        self.offsets: list[tuple[float, ...] | None] = []
        self.channels: list[tuple[int, str, int]] = []
        self.open: list[int] = []

    def fail(self, reason: str) -> InputError:
        return InputError(f"{self.path}: {reason}; the file is damaged: export it again")

    def read(self, line: str) -> None:
        keyword, _, rest = line.partition(" ")
        keyword = keyword.upper()
        if keyword in ("ROOT", "JOINT"):
            self.begin(rest or f"joint {len(self.names)}", is_root=keyword == "ROOT")
        elif keyword == "END":
            self.begin(f"{self.names[self.open[-1]]} end" if self.open else "end", is_root=False)
        elif keyword == "}":
            if not self.open:
                raise self.fail("a brace is closed that was not opened")
            self.open.pop()
        elif keyword == "OFFSET":
            self.offsets[self.current(line)] = self.offset(rest)
        elif keyword == "CHANNELS":
            self.add_channels(self.current(line), rest.split())
        elif keyword != "{":
            raise self.fail(f"{line[:60]!r} is not expected in the hierarchy")

    def begin(self, name: str, *, is_root: bool) -> None:
        if is_root and self.names:
            raise InputError(f"{self.path} holds several people (a second ROOT, {name!r}); give one file for each")
        if not is_root and not self.open:
            raise self.fail(f"joint {name!r} stands outside the ROOT's braces")
        if len(self.names) >= _MAX_JOINTS:
            raise InputError(f"{self.path} has more than {_MAX_JOINTS} joints; that is no person")
        self.names.append(name)
        self.parents.append(-1 if is_root else self.open[-1])
        self.offsets.append(None)
        self.open.append(len(self.names) - 1)

    def current(self, line: str) -> int:
        if not self.open:
            raise self.fail(f"{line[:60]!r} stands outside a joint")
        return self.open[-1]

    def offset(self, text: str) -> tuple[float, ...]:
        try:
            numbers = tuple(float(field) for field in text.split())
        except ValueError:
            numbers = ()
        if len(numbers) != 3 or not np.isfinite(numbers).all():
            raise self.fail(f"OFFSET {text!r} of joint {self.names[self.open[-1]]!r} is not three numbers")
        return numbers

    def add_channels(self, joint: int, fields: list[str]) -> None:
        found = [_CHANNEL.fullmatch(field) for field in fields[1:]]
        kinds = [(m[2].lower(), "xyz".index(m[1].lower())) for m in found if m]
        if not fields or fields[0] != str(len(fields) - 1) or len(kinds) < len(found) or len(set(kinds)) < len(kinds):
            raise self.fail(
                f"CHANNELS {' '.join(fields)!r} of joint {self.names[joint]!r} is not understood "
                "(expected a count, then as many of Xposition ... Zrotation)"
            )
        self.channels += [(joint, kind, axis) for kind, axis in kinds]

    def check_complete(self) -> None:
        if self.open or not self.names:
            raise self.fail("the hierarchy is cut off")
        for name, offset in zip(self.names, self.offsets, strict=True):
            if offset is None:
                raise self.fail(f"joint {name!r} has no OFFSET")
        if not self.channels:
            raise self.fail("no joint has CHANNELS")


def _motion_head(path: Path, text: str) -> tuple[int, float, list[str]]:
    """Number of frames announced, seconds a frame, and the fields that follow."""
    found = _FRAMES.match(text)
    if found is None:
        raise InputError(f"{path}: MOTION is not followed by 'Frames: N' and 'Frame Time: SECONDS'; export it again")
    try:
        frames, frame_s = int(found[1]), float(found[2])
    except ValueError:
        frames, frame_s = 0, 0.0
    if frames < 1 or not 1e-5 <= frame_s <= 10:
        raise InputError(
            f"{path}: Frames: {found[1]}, Frame Time: {found[2]}; expected at least one frame of 0.00001 to 10 seconds"
        )
    return frames, frame_s, text[found.end() :].split()


def _values(path: Path, fields: list[str], frames: int, channels: int) -> np.ndarray:
    """The channel values [t, c]."""
    found, rest = divmod(len(fields), channels)
    # Some programs do not count the rest pose with which they begin: one whole row more is no damage.
    if rest or found not in (frames, frames + 1):
        raise InputError(
            f"{path} announces {frames} frames of {channels} numbers, but holds {len(fields)} numbers "
            f"({len(fields) / channels:.4g} frames); it is cut off or damaged: export it again"
        )
    try:
        values = np.array(fields, float).reshape(found, channels)
    except ValueError as error:
        raise InputError(f"{path}: {error} among the frames; export it again") from None
    if not np.isfinite(values).all():
        frame = int(np.flatnonzero(~np.isfinite(values).all(1))[0])
        raise InputError(f"{path}: frame {frame + 1} holds a number that is not finite; export it again")
    return values
