"""Arrays to a tested classifier: videos that are not files, made up here, of two cameras."""

import tempfile

import numpy as np

import mv2mae

rng = np.random.default_rng(0)
videos = rng.integers(0, 40, (8, 2, 16, 48, 48, 3), np.uint8)  # [n, views, frames, height, width, 3]
for take in range(8):
    for time in range(16):
        place = 2 * time if take % 2 else 32 - 2 * time
        videos[take, :, time, 16:28, place : place + 12] = 220
names = ["left", "right"] * 4

small = {
    "num_frames": 8,
    "image_size": 32,
    "tubelet_size": (2, 8, 8),
    "encoder_width": 48,
    "encoder_depth": 2,
    "encoder_heads": 2,
}
quick = {"steps": 4, "warmup_steps": 1, "batch_size": 4}
with tempfile.TemporaryDirectory() as folder:
    run = mv2mae.pretrain(videos, f"{folder}/pretrain", model={**small, "decoder_width": 24}, optim=quick)
    model = mv2mae.finetune(videos, f"{folder}/finetune", start=run, labels=names, model=small, optim=quick)
    test = mv2mae.evaluate_run(model, videos[:4], labels=names[:4], num_clips=1, num_crops=1)
print(f"top-1 {test.top1:.2f} of chance {test.figures.chance:.2f}, after four steps each")
