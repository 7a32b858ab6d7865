"""The packaged sample set: 200 short performances, filmed by three cameras each.

python -m mv2mae.synthetic.sample OUT
"""

import sys
from pathlib import Path

from mv2mae.synthetic.data_set import SyntheticSet
from mv2mae.synthetic.generate import generate
from mv2mae.synthetic.people.actions import ACTIONS


def sample_config() -> SyntheticSet:
    """10 actions x 10 people x 2 setups, NTU's cameras, 64 frames of 128 pixels, at the level `easy`."""
    return SyntheticSet(
        actions=tuple(ACTIONS)[:10],
        subjects=tuple(range(1, 11)),
        setups=(1, 2),
        size=128,
        num_frames=64,
        fps=30,
        difficulty="easy",
        crf=31,
        seed=2026,
    )


def main(arguments: list[str]) -> int:
    """Writes the sample set into the given folder."""
    if len(arguments) != 1 or arguments[0].startswith("-"):
        print(__doc__)
        return 2
    table = generate(Path(arguments[0]), sample_config())
    size = sum(p.stat().st_size for p in (Path(arguments[0]) / "videos").iterdir())
    print(f"{len(table)} videos, {size / 1e6:.2f} MB in {arguments[0]}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
