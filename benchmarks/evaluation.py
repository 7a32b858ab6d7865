"""What 50 crops of a video cost, against 50 times one crop's forward pass and one decoding.

    python benchmarks/evaluation.py [VIDEO ...] [--size small|paper] [--repeats 5] [--batch_size 50]

Without videos, the first four of the sample set. CPU seconds of one thread, so that what else the machine does counts
less; medians over videos and repeats, the parts taking turns. Weights are random: they cost the same.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import torch

from mv2mae.config import EvalConfig, FinetuneConfig, ModelConfig
from mv2mae.data.clips import EvalDataset
from mv2mae.data.manifest import make_frame, read_manifest
from mv2mae.data.video import read_frames
from mv2mae.data.videos import Videos
from mv2mae.data.windows import ClipSpec
from mv2mae.evaluate.scoring import crop_logits, score_videos
from mv2mae.model.classifier import Classifier
from mv2mae.recipes import load_recipe


def seconds(work: Callable[[], object]) -> float:
    """CPU time of a piece of work."""
    begin = time.process_time()
    work()
    return time.process_time() - begin


def one_crop_at_a_time(model: Classifier, dataset: EvalDataset, index: int) -> None:
    """The naive way: each crop decodes its own clip."""
    test = EvalConfig(num_clips=1, num_crops=1)
    for _ in range(dataset.test.num_clips * dataset.test.num_crops):
        dataset.test, kept = test, dataset.test
        item = dataset[index]
        dataset.test = kept
        crop_logits(model, item["clips"], 1)


def main() -> None:
    """Measure, and print a table row for each part."""
    parser = argparse.ArgumentParser()
    parser.add_argument("videos", nargs="*")
    parser.add_argument("--size", choices=("small", "paper"), default="small")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--batch_size", type=int, default=50)
    args = parser.parse_args()
    torch.set_num_threads(1)
    config = ModelConfig() if args.size == "paper" else load_recipe("sample-finetune", FinetuneConfig).model
    paths = args.videos or read_manifest("sample")["path"].tolist()[:4]
    frame = make_frame({"path": path, "group": str(i), "view": 1} for i, path in enumerate(paths))
    model, test = Classifier(config, 60).eval(), EvalConfig(batch_size=args.batch_size)
    clip = ClipSpec(num_frames=config.num_frames, size=config.image_size)
    times: dict[str, list[float]] = {}

    def note(name: str, work: Callable[[], object]) -> None:
        times.setdefault(name, []).append(seconds(work))

    for _ in range(args.repeats):
        for index, path in enumerate(paths):
            dataset = EvalDataset(frame[index : index + 1], clip, test=test, videos=Videos())
            item = dataset[0]
            span = dataset.span(0)
            last = [span.first, span.last]
            note("one decoding, to the last frame", lambda p=path, t=last: read_frames(p, t))  # type: ignore[misc]
            note("reading 5 clips x 10 crops", lambda d=dataset: d[0])  # type: ignore[misc]
            note("one crop", lambda i=item: crop_logits(model, i["clips"][:1], 1))  # type: ignore[misc]
            note("50 crops together", lambda i=item: crop_logits(model, i["clips"], args.batch_size))  # type: ignore[misc]
            note("the whole test of a video", lambda d=dataset: score_videos(model, d, args.batch_size, progress=False))  # type: ignore[misc]
            if args.size == "small":
                note("each crop on its own", lambda d=dataset: one_crop_at_a_time(model, d, 0))  # type: ignore[misc]
    median = {name: statistics.median(values) for name, values in times.items()}
    for name, value in median.items():
        print(f"{name:34} {1000 * value:9.1f} ms")
    allowed = 50 * median["one crop"] + median["one decoding, to the last frame"]
    print(f"{'50 x one crop + one decoding':34} {1000 * allowed:9.1f} ms")
    print(f"the whole test / that: {median['the whole test of a video'] / allowed:.2f}")


if __name__ == "__main__":
    main()
