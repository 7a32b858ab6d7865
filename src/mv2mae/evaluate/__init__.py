"""Testing: clips and crops, fused views, figures; and predictions for files."""
