"""Runs an exported model on videos without mv2mae: `python predict.py left.mp4 right.mp4` (synchronised views).

Needs numpy, PyAV, and onnxruntime or torch. Takes one clip, from the middle of each video.
"""

# mypy: ignore-errors
import json
import sys
from pathlib import Path

import av
import numpy as np

HERE = Path(__file__).parent


def read_clip(path, settings):
    """A clip [3, t, h, w]: RGB in [0, 1], resized to a short side and cropped in the centre."""
    count, side, size = settings["num_frames"], settings["resize_short_side"], settings["centre_crop"]
    with av.open(str(path)) as file:
        stream = file.streams.video[0]
        times = np.sort([float(p.pts * stream.time_base) for p in file.demux(stream) if p.pts is not None])
        rate = float(stream.average_rate)
        step = settings["frame_stride"] / (settings["frames_per_second"] or rate)
        room = times[-1] - times[0] - (count - 1) * step
        begin = times[0] + (int(room * rate + 0.25) + 1) // 2 / rate
        wanted = begin + step * np.arange(count) if room > -0.25 / rate else np.linspace(times[0], times[-1], count)
        nearest = np.abs(times[:, None] - wanted).argmin(axis=0)
        file.seek(0)
        found = {i: frame for i, frame in enumerate(file.decode(stream)) if i in nearest}
    frame = found[nearest[0]]
    width, height = (max(side, round(s * side / min(frame.width, frame.height))) for s in (frame.width, frame.height))
    images = [found[i].reformat(width, height, "rgb24", interpolation="AREA").to_ndarray() for i in nearest]
    top, left = (height - size) // 2, (width - size) // 2
    clip = np.stack(images)[:, top : top + size, left : left + size]
    return clip.transpose(3, 0, 1, 2).astype(np.float32) / 255


def run(clips):
    """What the model makes of a batch."""
    if (HERE / "model.onnx").exists():
        import onnxruntime

        session = onnxruntime.InferenceSession(HERE / "model.onnx", providers=["CPUExecutionProvider"])
        return session.run(None, {session.get_inputs()[0].name: clips})[0]
    import torch

    return torch.export.load(HERE / "model.pt2").module()(torch.from_numpy(clips)).detach().numpy()


if __name__ == "__main__":
    settings = json.loads((HERE / "preprocessing.json").read_text(encoding="utf-8"))
    clips = np.stack([read_clip(path, settings) for path in sys.argv[1:]])
    out = run(clips[None] if settings["part"] == "fused" else clips)
    if settings["part"] == "encoder":
        np.save("tokens.npy", out)
        print(f"tokens.npy: {out.shape}, videos x tokens x width")
    else:
        scores = np.exp(out - out.max(axis=1, keepdims=True)) if settings["part"] == "classifier" else out
        mean = (scores / scores.sum(axis=1, keepdims=True)).mean(axis=0)
        for place in mean.argsort()[::-1][:5]:
            print(f"{mean[place]:.4f}  {settings['classes'][place]}")
