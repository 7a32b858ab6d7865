"""How fast exported encoders answer: onnxruntime against torch, one thread of a CPU, one clip at a time.

    python benchmarks/exported.py                # a minute; needs `pip install 'mv2mae[onnx]'`

The packaged small encoder, and one of the paper's size with untrained weights (speed does not depend on them). torch
and onnxruntime take turns; the fastest of the runs counts, which other work on the machine disturbs least.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnxruntime
import torch

from mv2mae.config import ModelConfig
from mv2mae.interop.exported import FILES, write_exported
from mv2mae.model.pretraining import MV2MAE
from mv2mae.weights import PRETRAINING, find_weights, load_encoder, read_weights, save_weights


def milliseconds(run: Callable[[], object]) -> float:
    """Time of a call."""
    begin = time.perf_counter()
    run()
    return 1000 * (time.perf_counter() - begin)


def compare(weights: Path, folder: Path, repeats: int) -> str:
    """Cells of a row: clip, milliseconds of torch and of onnxruntime, largest difference between their tokens."""
    encoder = load_encoder(weights).eval()
    write_exported(read_weights(weights), folder, kind="onnx", part="encoder")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(folder / FILES["onnx"]), options, ["CPUExecutionProvider"])
    config = encoder.config
    clip = torch.rand(1, 3, config.num_frames, config.image_size, config.image_size)
    feed = {session.get_inputs()[0].name: clip.numpy()}
    with torch.inference_mode():
        gap = float(np.abs(session.run(None, feed)[0] - encoder(clip).numpy()).max())
        calls = (lambda: encoder(clip), lambda: session.run(None, feed))
        times = [[milliseconds(call) for call in calls] for _ in range(repeats)]
    torch_ms, onnx_ms = np.min(times, axis=0)
    return f"{config.num_frames}x{config.image_size}x{config.image_size} | {torch_ms:.1f} | {onnx_ms:.1f} | {gap:.1e}"


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=30)
    args = parser.parse_args()
    torch.set_num_threads(1)
    print("| encoder | clip | torch, ms | onnxruntime, ms | largest difference |\n|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        large = Path(folder) / "large.safetensors"
        save_weights(large, MV2MAE(ModelConfig()), PRETRAINING, ModelConfig())
        for name, weights in (("synthetic-small", find_weights("synthetic-small")), ("ViT-S/16, untrained", large)):
            print(f"| {name} | {compare(weights, Path(folder) / weights.stem, args.repeats)} |", flush=True)


if __name__ == "__main__":
    main()
