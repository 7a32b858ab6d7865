"""Synthetic multi-view actions: people (`bodies`) perform (`actions`, `motion`) in rooms (`rooms`, `backdrop`)
before cameras (`cameras`), are drawn (`render`, `scene`) and written (`encode`, `generate`)."""

from mv2mae.synthetic.cameras import read_cameras
from mv2mae.synthetic.config import Group, SynthConfig
from mv2mae.synthetic.generate import generate, generate_frames
from mv2mae.synthetic.preview import contact_sheet

__all__ = ["Group", "SynthConfig", "contact_sheet", "generate", "generate_frames", "read_cameras"]
