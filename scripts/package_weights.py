"""Put a pre-training run's weights into the package: python scripts/package_weights.py RUN NAME "summary"."""

import sys
from pathlib import Path

from mv2mae.weights import PRETRAINING, load_pretrained, read_weights, save_weights


def main(run: str, name: str, summary: str) -> None:
    stored, model = read_weights(run), load_pretrained(run)
    out = Path(__file__).parents[1] / "src" / "mv2mae" / "weights" / f"{name}.safetensors"
    save_weights(out, model, PRETRAINING, stored.config, **{**stored.about, "summary": summary})
    print(f"{out}: {out.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    main(*sys.argv[1:])
