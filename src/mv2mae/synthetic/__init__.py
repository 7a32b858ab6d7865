"""Synthetic multi-view video: people (`people`, or `capture`d ones) act in a room before cameras (`world`), are filmed
(`render`) and written (`generate`).
"""

from mv2mae.synthetic.data_set import Group, SyntheticSet
from mv2mae.synthetic.generate import generate, generate_frames
from mv2mae.synthetic.world.cameras import read_cameras

__all__ = ["Group", "SyntheticSet", "generate", "generate_frames", "read_cameras"]
