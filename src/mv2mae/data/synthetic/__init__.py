"""Synthetic multi-view actions: people (`bodies`) perform (`actions`, `motion`) in rooms (`rooms`, `backdrop`)
before cameras (`cameras`),
are drawn (`render`, `scene`) and written (`encode`, `generate`)."""

from mv2mae.data.synthetic.config import Group, SynthConfig
from mv2mae.data.synthetic.generate import contact_sheet, generate, generate_frames

__all__ = ["Group", "SynthConfig", "contact_sheet", "generate", "generate_frames"]
