"""What frozen features are worth for telling actions apart: `mv2mae probe`."""
