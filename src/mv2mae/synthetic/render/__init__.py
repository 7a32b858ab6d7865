"""From moving people in rooms to frames and their ground truth."""
