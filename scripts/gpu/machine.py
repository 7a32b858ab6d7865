"""What is here and what is missing, in one line, and as machine.json in $OUT: the first thing that `run.sh` does."""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import subprocess
import sys
from pathlib import Path

NEEDED = {  # distribution -> who needs it
    **{name: "everything" for name in ("torch", "numpy", "pandas", "pyarrow", "pyyaml", "jaxtyping", "rich")},
    **{name: "training" for name in ("av", "filelock", "jsonargparse", "tensorboardX", "pytorch-lightning")},
    **{name: "training" for name in ("safetensors", "jinja2", "pillow", "matplotlib")},
    **{name: "the tests" for name in ("pytest", "pytest-timeout", "beartype")},
    "transformers": "the comparison",
}


def missing() -> dict[str, str]:
    """Packages that are not there, and who needs them."""
    found = {}
    for name, who in NEEDED.items():
        try:
            importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = who
    return found


def describe() -> dict[str, object]:
    """The machine in plain values."""
    import torch

    there = torch.cuda.is_available()
    properties = torch.cuda.get_device_properties(0) if there else None
    commit = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=False).stdout.strip()
    return {
        "gpu": None if properties is None else properties.name,
        "capability": None if properties is None else f"{properties.major}.{properties.minor}",
        "gpu_gb": None if properties is None else round(properties.total_memory / 2**30, 1),
        "driver": driver(),
        "torch": torch.__version__,
        "cuda": torch.version.cuda,
        "python": platform.python_version(),
        "cores": len(os.sched_getaffinity(0)),
        "commit": commit or "unknown",
    }


def driver() -> str | None:
    """Version of NVIDIA's driver, as its own tool says."""
    command = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.split("\n")[0].strip()
    except (OSError, subprocess.CalledProcessError):
        return None


def main() -> int:
    """Say it; 1 if the run cannot start."""
    lacking = missing()
    if "torch" in lacking:
        print(f"missing: {', '.join(lacking)}")
        return 1
    machine = describe()
    out = Path(os.environ["OUT"])
    (out / "machine.json").write_text(json.dumps({**machine, "missing": lacking}, indent=1) + "\n", encoding="utf-8")
    said = ", ".join(f"{name} {who}" for name, who in machine.items())
    print(f"{said}; missing: {', '.join(f'{name} ({who})' for name, who in lacking.items()) or 'nothing'}")
    if machine["gpu"] is None and "--tiny" not in sys.argv:
        print("there is no GPU here; --tiny rehearses on the CPU")
        return 1
    return int("everything" in lacking.values())


if __name__ == "__main__":
    sys.exit(main())
