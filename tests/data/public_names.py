"""The complete lists of names of the public data sets, from the lists and rules in `lists/`."""

from __future__ import annotations

import csv
import gzip
from itertools import product
from pathlib import Path

from mv2mae.data.protocols import PROTOCOLS, Indexed, Listing

LISTS = Path(__file__).parent / "lists"


def indexed(protocol: str, names: list[str]) -> Indexed:
    """The index of a data set made from names alone."""
    return PROTOCOLS[protocol].index(Listing(root=Path("/data"), files=names))


def touch(root: Path, *names: str) -> None:
    """Empty files."""
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()


def ntu(*, setups: range) -> list[str]:
    """(setup, performer) pairs x cameras x repetitions x actions: 1-60 up to setup 17, 61-120 above."""
    with (LISTS / "ntu_setup_performer.csv").open() as lines:
        pairs = [(int(row["setup"]), int(row["performer"])) for row in csv.DictReader(lines)]
    return [
        f"nturgb+d_rgb/S{s:03}C{c:03}P{p:03}R{r:03}A{a:03}_rgb.avi"
        for s, p in pairs
        if s in setups
        for c, r, a in product((1, 2, 3), (1, 2), range(1, 61) if s <= 17 else range(61, 121))
    ]


def etri() -> list[str]:
    """Groups and the digits of their cameras."""
    with gzip.open(LISTS / "etri_groups.csv.gz", "rt") as lines:
        return [
            f"P{int(g['subject']):03}/A{int(g['action']):03}_P{int(g['subject']):03}_G{int(g['repetition']):03}_C00{c}.mp4"
            for g in csv.DictReader(lines)
            for c in g["cameras"]
        ]


def nucla() -> list[str]:
    """One public index."""
    with (LISTS / "nucla_names.csv").open() as lines:
        return [
            "multiview_action_videos/a{:02}/v{:02}_s{:02}_e{:02}.avi".format(
                *(int(row[key]) for key in ("action", "view", "subject", "event"))
            )
            for row in csv.DictReader(lines)
        ]


def rocog(name: str) -> list[str]:
    """Paths of an official list."""
    return [line.split()[0] for line in (LISTS / f"rocog_ground_{name}.txt").read_text().splitlines()]


def synadl(num_lights: int) -> list[str]:
    """The rule: activities x characters x repetitions x cameras in a folder for each light."""
    return [
        f"RGB/light{light}/A{a:03}_P{p:03}_G{g:03}_C{c:03}.avi"
        for light, a, p, g, c in product(range(num_lights), range(1, 56), range(101, 116), range(1, 5), range(1, 29))
    ]


def pkummd2() -> list[str]:
    """Takes x persons x views, without the five videos of the middle view that do not exist."""
    missing = {"A05N04-M", "A07N12-M", "A08N12-M", "A14N12-M", "A20N01-M"}
    names = [f"A{a:02}N{n:02}-{v}" for a, n, v in product(range(1, 27), range(1, 14), "LMR")]
    return [f"RGB_VIDEO_v2/{name}.avi" for name in names if name not in missing]
