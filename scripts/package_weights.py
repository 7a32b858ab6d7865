"""Put a pre-training run's weights into the package: python scripts/package_weights.py RUN NAME "summary" [FPS].

FPS: the rate of the videos, where the run took them as they came (data.fps null).
"""

import sys
from pathlib import Path

from mv2mae.weights import PRETRAINING, load_pretrained, read_weights, save_weights


def main(run: str, name: str, summary: str, fps: str = "") -> None:
    stored, model = read_weights(run), load_pretrained(run)
    out = Path(__file__).parents[1] / "src" / "mv2mae" / "weights" / f"{name}.safetensors"
    about = {**stored.about, "summary": summary, **({"fps": float(fps)} if fps else {})}
    save_weights(out, model, PRETRAINING, stored.config, **about)
    print(f"{out}: {out.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    main(*sys.argv[1:])
