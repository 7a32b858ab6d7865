"""Data: manifests, protocols, decoding, windows over views, pairs and clips, loaders.

The way through: `manifest` -> `protocols` (which rows) -> `video` (decoding) -> `windows` (which moments)
-> `augment` (which pixels) -> `views`, `clips` (data sets) -> `sampling`, `datamodule` (what training gets).
"""
