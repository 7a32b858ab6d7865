"""The actions: each a small function that, given a beat and a style, writes targets into a person standing still.

Most repeat; they begin near the same few poses, so that a first frame says little about what follows. Numbers are in
arm or leg lengths, see `motion.Motion`. In them `d` is the side that acts, `o` the other.
"""

from mv2mae.synthetic.people.actions import floor, gestures, head, objects, steps, trunk
from mv2mae.synthetic.people.actions.registry import registered

ACTIONS = registered(gestures, head, trunk, steps, floor, objects)
"""All actions by name, in the order of their ids."""

__all__ = ["ACTIONS"]
