"""How far frozen features depend on the camera: `mv2mae robustness`."""
