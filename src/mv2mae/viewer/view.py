"""`mv2mae view`: load, listen, answer."""

from __future__ import annotations

from pathlib import Path

from mv2mae.config import ModelConfig
from mv2mae.data.calibration import told_cameras
from mv2mae.data.cameras import Cameras
from mv2mae.data.manifest import read_manifest
from mv2mae.errors import InputError
from mv2mae.runs import CONFIG_NAME, read_config
from mv2mae.viewer.requests import MAX_STRIDE, MIN_STRIDE
from mv2mae.weights import find_weights, load_pretrained, read_weights


def view(
    weights: str | Path,
    manifest: str = "",
    *,
    host: str = "127.0.0.1",
    port: int = 8712,
    frame_stride: float | None = None,
    max_upload_mb: float = 200,
    cameras: str = "",
) -> None:
    """Open the viewer on a pre-trained model; returns when it is stopped.

    Args:
        weights: pre-training run, weights file, or the name of packaged weights.
        manifest: table of videos, or `sample`; empty = that of the run, or else `sample`.
        host: address to listen on; any but a loopback address opens the viewer to the network.
        port: 0 = any that is free.
        frame_stride: frames between those of a clip at the start, in the videos' own; None = that of the training, at
            its rate, or 4.
        max_upload_mb: largest file that can be dropped into the page.
        cameras: file or folder of known cameras; empty = cameras.json beside the manifest, if there is one.

    Raises:
        InputError: weights without decoders or not whole, no such manifest, cameras that cannot be, a port that is
            taken, or the packages of the extra `viewer` are missing.
    """
    try:
        from mv2mae.viewer.server import serve
    except ModuleNotFoundError as error:
        raise InputError(f"the viewer needs {error.name}; install it with: pip install -e '.[viewer]'") from error
    from mv2mae.viewer.session import Session
    from mv2mae.visualize.visualize import clip_rate

    if not max_upload_mb > 0:
        raise InputError(f"max_upload_mb={max_upload_mb:g} must be positive")
    if frame_stride is not None and not MIN_STRIDE <= frame_stride <= MAX_STRIDE:
        raise InputError(f"frame_stride={frame_stride:g} must lie between {MIN_STRIDE:g} and {MAX_STRIDE:g}")
    print(f"  loading {weights}", flush=True)
    stride, fps = clip_rate(read_weights(weights).about, frame_stride)
    model = load_pretrained(weights)
    manifest = manifest or _manifest_of(weights)
    session = Session(
        model,
        read_manifest(manifest),
        title=Path(weights).name,
        frame_stride=stride,
        fps=fps,
        max_upload_bytes=int(max_upload_mb * 2**20),
        cameras=_cameras(model.config, manifest, cameras),
        manifest=manifest,
    )
    serve(session, host, port)


def _cameras(config: ModelConfig, manifest: str, file: str) -> Cameras | None:
    """What is known of the videos' cameras. They show where a token lies for a model without rays too, which is not
    refused where they are of no use.
    """
    try:
        return told_cameras(manifest, file)
    except InputError:
        if file or config.cameras != "none":
            raise
        return None


def _manifest_of(weights: str | Path) -> str:
    """The manifest that a run was trained on; `sample` for packaged weights and runs without one."""
    folder = find_weights(weights).parent
    if not (folder / CONFIG_NAME).is_file():
        return "sample"
    return read_config(folder).get("data", {}).get("manifest") or "sample"
