"""Motion capture: BVH files as actions of the baked bodies."""
