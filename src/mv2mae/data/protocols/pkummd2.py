"""PKU-MMD phase II: untrimmed videos `A01N01-L.avi` (views L, M, R), cut into actions by `label/A01N01-L.txt`.

A label file has a line an action: `label,start,end[,confidence]`, ids from 1 to 51, frames at 30 a second. Known
oddities: the fourth column may be absent, start may be 0, start and end may be swapped (they are swapped back). Other
lines that make no sense are set aside and listed.

Every view has label files of its own. Actions of two views of one performance are one group if they have the same label
and share more than half of the time that they cover together; the best match goes first. An action without a partner
is a group of its own, so that groups have one to three views.

Training and test are those of the official `cross_subject_v2.txt` (line 2 and line 4) where it lies below the folder,
else persons N02, N03 and N07 test.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

from mv2mae.data.manifest import make_frame
from mv2mae.data.protocols.base import Indexed, Line, Listing, Problems, Protocol, Split, read_lines
from mv2mae.data.protocols.names import no_video
from mv2mae.errors import InputError

FPS = 30
TEST_SUBJECTS = (2, 3, 7)
SPLIT_FILE = "cross_subject_v2.txt"
MIN_OVERLAP = 0.5
"""Share of the time that two actions cover together, above which they are one performance."""

CLASS_NAMES = tuple(
    """bow|brushing hair|brushing teeth|check time|cheer up|clapping|cross hands in front|drink water|drop|eat meal
|falling|giving something|hand waving|handshaking|hopping|hugging|jump up|kicking a person|kicking something
|phone call|pat on back|pick up|play with phone|point finger at a person|point to something|punch or slap|pushing
|put on a hat|put something into pocket|reading|rub two hands|salute|sitting down|standing up|take off a hat
|take off glasses|take off jacket|take something out of pocket|taking a selfie|tear up paper|throw|touch back
|touch chest|touch head|touch neck|type on a keyboard|fan self|put on jacket|put on glasses|wipe face
|writing""".replace("\n", "").split("|")
)
"""Names of the labels 0-50."""

_NAME = re.compile(
    r"(?:.*/)?(?P<name>(?P<take>A\d{2}N(?P<subject>\d{2}))-(?P<view>[LMR]))\.(?:avi|mp4)", re.DOTALL | re.ASCII
)
_LABEL_FILE = re.compile(r"(?:.*/)?[^/]*label[^/]*/(A\d{2}N\d{2}-[LMR])\.txt", re.DOTALL | re.IGNORECASE | re.ASCII)
_LINE = re.compile(r"(\d{1,9})\s*,\s*(\d{1,9})\s*,\s*(\d{1,9})\s*(?:,[^,]*)?", re.ASCII)


@dataclass(frozen=True, order=True)
class Action:
    """One action in one view; frames, `end` being the first that no longer belongs to it."""

    start: int
    end: int
    label: int


def parse_line(text: str) -> Action:
    """An action from its line.

    Raises:
        ValueError: saying what is wrong with it.
    """
    match = _LINE.fullmatch(text)
    if match is None:
        raise ValueError(f"expected label,start,end[,confidence], not {text[:60]!r}")
    label, start, end = map(int, match.groups())
    if not 1 <= label <= len(CLASS_NAMES):
        raise ValueError(f"label {label} does not lie in 1 to {len(CLASS_NAMES)}")
    if start == end:
        raise ValueError(f"starts and ends at frame {start}")
    return Action(start=min(start, end), end=max(start, end), label=label - 1)


def parse_actions(lines: Sequence[Line]) -> tuple[list[Action], Problems]:
    """The actions of a label file in order of time, and (place, reason) of each line that was set aside."""
    actions: dict[tuple[int, int], Action] = {}
    problems: Problems = []
    for line in lines:
        try:
            action = parse_line(line.text)
        except ValueError as error:
            problems.append((line.place, str(error)))
            continue
        if actions.setdefault((action.start, action.end), action) is not action:
            problems.append((line.place, f"another line has frames {action.start} to {action.end} already"))
    return sorted(actions.values()), problems


def group_actions(views: Sequence[Sequence[Action]]) -> list[list[int]]:
    """For each action of each view the number of its group; the groups are numbered in order of their start."""
    groups: list[dict[int, int]] = []  # of each group: view -> place of its action in that view
    for view, actions in enumerate(views):
        pairs = [
            (-_overlap(action, views[other][theirs]), group, place)
            for place, action in enumerate(actions)
            for group, members in enumerate(groups)
            for other, theirs in list(members.items())[:1]
        ]
        free = dict.fromkeys(range(len(actions)))
        for share, group, place in sorted(pairs):
            if -share > MIN_OVERLAP and place in free and view not in groups[group]:
                groups[group][view] = place
                del free[place]
        groups += [{view: place} for place in free]
    groups.sort(key=lambda members: min(views[view][place] for view, place in members.items()))
    numbers = [[0] * len(actions) for actions in views]
    for number, members in enumerate(groups):
        for view, place in members.items():
            numbers[view][place] = number
    return numbers


def _overlap(one: Action, other: Action) -> float:
    """Intersection over union; 0 for unlike labels."""
    both = min(one.end, other.end) - max(one.start, other.start)
    return max(0, both) / (one.end - one.start + other.end - other.start - both) if one.label == other.label else 0.0


def index(listing: Listing) -> Indexed:
    """A row for each action of each view, `start` and `end` in seconds.

    Raises:
        InputError: no video or no label file that fits, or a split file that cannot be read.
    """
    problems: Problems = []
    videos, unmatched = _videos(listing, problems)
    labels = {match[1]: text for text in reversed(listing.texts) if (match := _LABEL_FILE.fullmatch(text))}
    if not labels:
        raise InputError(f"no label file below {listing.root}: expected label/A01N01-L.txt beside the videos")
    problems += [(labels[name], "no such video") for name in sorted(labels.keys() - videos.keys())]
    parts = _official_parts(listing, problems)
    if parts is None:
        parts = {name: "test" if int(v["subject"]) in TEST_SUBJECTS else "train" for name, v in videos.items()}
    problems += [(v.string, f"is not in {SPLIT_FILE}: in no part") for name, v in videos.items() if name not in parts]
    rows: list[dict[str, object]] = []
    for take, members in groupby(videos.values(), lambda video: video["take"]):
        views = {video: _actions(listing, video, labels, problems) for video in members}
        for (video, actions), numbers in zip(views.items(), group_actions(list(views.values())), strict=True):
            common = {"path": f"{listing.root}/{video.string}", "view": video["view"], "subject": int(video["subject"])}
            common["part"] = parts.get(video["name"])
            for action, number in zip(actions, numbers, strict=True):
                times = {"start": action.start / FPS, "end": action.end / FPS}
                rows.append({**common, **times, "group": f"{take}-{number:03}", "label": action.label})
    return Indexed(frame=make_frame(rows), unmatched=unmatched, problems=tuple(problems))


def _videos(listing: Listing, problems: Problems) -> tuple[dict[str, re.Match[str]], tuple[str, ...]]:
    """The videos by name, in order, and the files that are none."""
    videos: dict[str, re.Match[str]] = {}
    unmatched = []
    for file in listing.files:
        match = _NAME.fullmatch(file)
        if match is None:
            unmatched.append(file)
            continue
        if (first := videos.setdefault(match["name"], match)) is not match:
            problems.append((file, f"{first.string} has this name too"))
    if not videos:
        raise no_video(listing, "PKU-MMD II", "A01N01-L.avi")
    return dict(sorted(videos.items())), tuple(unmatched)


def _actions(listing: Listing, video: re.Match[str], labels: dict[str, str], problems: Problems) -> list[Action]:
    lines = read_lines(listing.root / labels[video["name"]]) if video["name"] in labels else []
    actions, bad = parse_actions(lines)
    problems += bad
    if not actions:
        problems.append((video.string, "no action: its label file is missing or empty"))
    return actions


def _official_parts(listing: Listing, problems: Problems) -> dict[str, str] | None:
    """The part of each video by the official file; None where there is no such file."""
    file = listing.find(SPLIT_FILE)
    if file is None:
        return None
    lines = (listing.root / file).read_bytes().decode("utf-8-sig", errors="replace").split("\n")
    parts: dict[str, str] = {}
    for number, part in ((2, "train"), (4, "test")):
        names = [name.strip() for name in lines[number - 1].split(",") if name.strip()] if len(lines) >= number else []
        odd = [name for name in names if not re.fullmatch(r"A\d{2}N\d{2}-[LMR]", name, re.ASCII)]
        if odd or not names:
            raise InputError(
                f"{listing.root / file}: line {number} must list the {part} videos as A01N01-L, A01N01-M, ..., not "
                f"{(odd or ['nothing'])[0][:60]!r}; correct the file, or take it away to divide by person"
            )
        for name in names:
            if parts.setdefault(name, part) != part:
                problems.append((f"{listing.root / file}, line {number}", f"{name} is a training video too"))
    return parts


PROTOCOL = Protocol(
    name="pkummd2",
    index=index,
    splits={"xsub": Split(train="part == 'train'", test="part == 'test'", num_videos=(5_332, 1_613))},
    class_names=CLASS_NAMES,
)
