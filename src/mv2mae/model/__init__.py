"""The model: pure functions (tubelets, masking, motion, losses) and the modules that hold weights.

Reading order: `tubelets`, `masking`, `motion`, `losses`, `layers`, `encoder`, `decoders`, `pretraining`, `classifier`.
"""
