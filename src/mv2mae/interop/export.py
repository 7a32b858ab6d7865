"""Models taken out, in any format: `mv2mae export`."""

from __future__ import annotations

from pathlib import Path

from mv2mae.errors import InputError
from mv2mae.files import OWN_LEFTOVERS, sweep
from mv2mae.weights import read_weights

FORMATS = ("transformers", "onnx", "torch", "hub")


def export(
    weights: str | Path,
    out: str | Path,
    *,
    kind: str,
    part: str = "",
    half: bool = False,
    push: str = "",
    private: bool = True,
) -> list[str]:
    """Write a model for other software into a folder; returns what there is to know, in lines.

    Args:
        weights: whatever `read_weights` takes.
        out: folder to write.
        kind: transformers, onnx, torch or hub.
        part: of onnx and torch: encoder, classifier (of one view) or fused (of several); by default the classifier,
            or the encoder of what is none.
        half: of onnx and torch: compute in float16.
        push: OWNER/NAME on the hub, where what was written for it goes.
        private: whether a repository that is made there is.

    Raises:
        InputError: an unknown format, options of another one, or a model that has no place in it.
    """
    if kind not in FORMATS:
        raise InputError(f"format={kind!r} is unknown; choose {', '.join(FORMATS)}")
    if (part or half) and kind not in ("onnx", "torch"):
        raise InputError(f"--part and --half go with --format onnx or torch; {kind} takes the whole model")
    if push and kind != "hub":
        raise InputError(f"--push goes with --format hub, not {kind}")
    stored = read_weights(weights)
    sweep(Path(out), OWN_LEFTOVERS)  # a killed export's half of a model would be listed, and pushed, with the rest
    if kind == "transformers":
        from mv2mae.interop.transformers import write_transformers

        return write_transformers(stored, out)
    if kind == "hub":
        return _to_hub(weights, out, push, private)
    from mv2mae.interop.exported import write_exported

    return write_exported(stored, out, kind=kind, part=part, half=half)


def _to_hub(weights: str | Path, out: str | Path, push: str, private: bool) -> list[str]:
    from mv2mae.interop.files import first_sentence
    from mv2mae.interop.hub_model import HubModel

    model = HubModel(str(weights))
    model.save_pretrained(out)
    if not push:
        return []
    try:
        return [f"pushed to {model.push_to_hub(push, private=private)}"]
    except Exception as error:  # its errors come from several libraries
        raise InputError(f"{push}: {first_sentence(error)} (what was to be pushed lies in {out})") from error
