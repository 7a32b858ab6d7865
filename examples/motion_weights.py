"""Which tubelets of a clip count in the loss (Section 3.3): the moving ones."""

from pathlib import Path

import mv2mae
from mv2mae.data.video import read_frames
from mv2mae.model.motion import effective_number

videos = mv2mae.read_manifest("sample")
frames = read_frames(Path(videos["path"][0]), [i / 7.5 for i in range(16)])  # uint8 [t, h, w, 3]
clip = frames.permute(3, 0, 1, 2)[None]  # [1, 3, t, h, w]
for temperature in (10.0, 60.0, 240.0):
    weights = mv2mae.motion_weights(clip, tubelet_size=(4, 8, 8), temperature=temperature)  # [1, n], sum 1
    share = float(effective_number(weights)) / weights.shape[1]
    print(f"temperature {temperature:5.0f}: weights worth {share:.0%} of the {weights.shape[1]} tokens")
