"""Folders of one's own takes, a file a camera, to a prediction: index, pre-train, fine-tune, predict.

The takes are drawn here so that the script runs anywhere: takes/ACTION/NUMBER/cam1.mp4, cam2.mp4, cam3.mp4.
"""

import tempfile
from pathlib import Path

import mv2mae
from mv2mae.data.indexing import index
from mv2mae.synthetic.data_set import SyntheticSet
from mv2mae.synthetic.encode import write_video
from mv2mae.synthetic.generate import film_group

small = {
    "num_frames": 4,
    "image_size": 32,
    "tubelet_size": (2, 8, 8),
    "encoder_width": 48,
    "encoder_depth": 2,
    "encoder_heads": 2,
}
quick = {"steps": 4, "warmup_steps": 1, "batch_size": 4}
few = SyntheticSet(actions=("wave", "squat"), subjects=(1, 2), setups=(1,), num_frames=24, size=48)

with tempfile.TemporaryDirectory() as name:
    folder = Path(name)
    for number, group in enumerate(few.groups()):
        for view, footage in film_group(few, group).items():
            file = folder / "takes" / group.action / f"take{number}" / f"cam{view}.mp4"
            file.parent.mkdir(parents=True, exist_ok=True)
            write_video(file, footage.frames.numpy(), fps=few.fps, crf=20)

    manifest = index("folder", folder / "takes", folder / "takes.csv", pattern="{label}/{group}/{view}.mp4")
    run = mv2mae.pretrain(manifest, folder / "pretrain", model={**small, "decoder_width": 24}, optim=quick)
    model = mv2mae.finetune(manifest, folder / "finetune", start=run, model=small, optim=quick)
    found = model.load().predict(sorted(file.parent.glob("*.mp4")), num_clips=1, num_crops=1)
print(f"{len(found.files)} cameras show: {found.label} ({found.probabilities.max():.2f}), after four steps each")
