"""`mv2mae bench data`: what it measures, on every kind of source, and what it says."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from tiny_videos import even_times, write_video

from mv2mae.bench.loading import LoaderFigures, Memory, bench_data, print_figures, verdict
from mv2mae.cli import main
from mv2mae.config import ComputeConfig, ModelConfig, PairConfig, PretrainConfig, StoreConfig, StreamConfig
from mv2mae.data.manifest import make_frame, read_manifest, write_manifest
from mv2mae.data.store.prepare import prepare
from mv2mae.errors import InputError

FEW = "subject in [1, 2, 3] and label in [5, 7] and setup == 1"
IN_MEMORY = {"copy from memory", "crop, augment", "collate", "other"}
FROM_FILES = {"first look", "open, seek", "decode", "scale, convert", "crop, augment", "collate", "other"}
RENDERED = {"animate", "render", "crop, augment", "collate", "other"}


def config(**data: Any) -> PretrainConfig:
    return PretrainConfig(
        model=ModelConfig(num_frames=4, image_size=32, tubelet_size=(2, 8, 8)),
        data=PairConfig(frame_stride=2, **data),
        compute=ComputeConfig(num_workers=0),
    )


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three groups of two views."""
    root = tmp_path_factory.mktemp("bench")
    rows = [
        {"path": str(write_video(root / f"{g}{v}.mp4", even_times(30, 25))), "group": g, "view": v}
        for g in "abc"
        for v in (1, 2)
    ]
    return write_manifest(make_frame(rows), root / "m.csv")


def test_figures_of_files_with_workers(manifest: Path) -> None:
    figures = bench_data(config(manifest=str(manifest)), num_clips=100, num_workers=1, progress=False)
    assert (figures.num_clips, figures.num_workers) == (112, 1)  # whole batches of 8 pairs
    assert figures.clips_per_s == pytest.approx(112 / figures.seconds)
    assert figures.pairs_per_s == pytest.approx(figures.clips_per_s / 2)
    assert set(figures.stages) == FROM_FILES
    assert sum(figures.stages.values()) == pytest.approx(figures.clip_ms)
    assert all(spent >= 0 for spent in figures.stages.values())
    assert figures.clip_cpu_ms > 0
    if figures.memory:
        assert len(figures.memory) == 3
        assert all(memory.workers > 0 for memory in figures.memory)


@pytest.mark.parametrize(
    ("source", "stages"),
    [
        ({"manifest": "sample", "train_query": FEW, "cache": "memory"}, IN_MEMORY),
        ({"manifest": "sample", "train_query": FEW, "num_repeats": 2}, FROM_FILES - {"first look"}),
        ({"manifest": "synthetic-stream", "stream": StreamConfig(num_rooms=1, actions=("wave",))}, RENDERED),
    ],
)
def test_every_kind_of_source_is_measured(source: dict[str, Any], stages: set[str]) -> None:
    figures = bench_data(config(**source), num_clips=20, progress=False)
    assert figures.num_clips >= 20
    assert set(figures.stages) == stages
    assert figures.set_aside == []


def test_stores_are_measured_and_broken_videos_counted(manifest: Path, tmp_path: Path) -> None:
    prepare(manifest, tmp_path / "out", StoreConfig(short_side=48), progress=False)
    stored = bench_data(config(manifest=str(tmp_path / "out" / "manifest.parquet")), num_clips=40, progress=False)
    assert {"decode", "scale, convert", "open, seek"} <= set(stored.stages)
    broken = tmp_path / "a3.mp4"
    broken.write_bytes(b"no video")
    frame = read_manifest(manifest)
    frame.loc[1, "path"] = str(broken)  # not of the group that seed 0 holds out
    file = write_manifest(frame, tmp_path / "m.csv")
    figures = bench_data(config(manifest=str(file), held_out_groups=1), num_clips=40, progress=False)
    assert [path for path, _ in figures.set_aside] == [str(broken)]


FIGURES = LoaderFigures(
    manifest="m.parquet",
    num_frames=16,
    size=128,
    num_repeats=4,
    num_workers=2,
    num_cores=8,
    prepare_seconds=0.5,
    start_seconds=3.0,
    num_clips=1000,
    clips_per_pair=2,
    seconds=4.0,
    memory=[Memory(process=300 * 2**20, workers=400 * 2**20)] * 3,
    clip_ms=12.0,
    clip_cpu_ms=12.0,
    stages={"decode": 8.0, "first look": 2.0, "other": 2.0},
    set_aside=[("x.mp4", "is cut off")],
)


def test_the_verdict_counts_cores_without_the_first_look_at_a_file() -> None:
    assert verdict(FIGURES) == "One core reads 100 clips/s."
    assert "takes 750 clips/s needs 8 for reading; this machine has 8." in verdict(FIGURES, 750)
    assert "prepare" not in verdict(FIGURES, 750)
    assert "takes 2,001 clips/s needs 21 for reading" in verdict(FIGURES, 2001)
    assert "`mv2mae prepare`, data.num_repeats, data.cache" in verdict(FIGURES, 2001)
    slow = {name: 2 * spent for name, spent in FIGURES.stages.items()}  # on a busy machine, with the same computing
    busy = dataclasses.replace(FIGURES, clip_ms=24.0, stages=slow)
    assert busy.computing_ms == pytest.approx(10.0)
    assert "50% of a clip's time went by waiting" in verdict(busy)


def test_the_tables_tell_rates_stages_and_memory() -> None:
    console = Console(record=True, width=120)
    print_figures(FIGURES, 750, console)
    said = " ".join(console.export_text().split())
    for words in (
        "m.parquet: clips of 16 x 128 x 128, 4 pairs from each decoding",
        "clips/s │ 250.0",
        "pairs/s │ 125.0",
    ):
        assert words in said
    for words in ("decode │ 8.00 │ 67%", "300 + 400 MB", "videos set aside │ 1", "needs 8 for reading"):
        assert words in said


def test_the_command_writes_what_it_measured(
    manifest: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "figures" / "loader.json"
    words = ["--recipe", "sample-pretrain", "--data", str(manifest), "--data.split", "", "--want", "500"]
    assert main(["bench", "data", *words, "--num_clips", "30", "--num_workers", "0", "--out", str(out)]) == 0
    said = "".join(capsys.readouterr().out.split())  # a long path breaks lines
    assert "clipsof16x64x64" in said
    assert f"wrote{out}" in said
    written = json.loads(out.read_text())
    assert written["num_clips"] == 32
    assert written["clips_per_s"] == pytest.approx(32 / written["seconds"])


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["bench", "data", "--num_clips", "0"], "num_clips=0 and num_workers"),
        (["bench", "data", "--data", "nowhere.csv"], "nowhere.csv"),
        (["bench", "data", "--data.num_repeats", "3"], "must be a multiple of data.num_repeats=3"),
    ],
)
def test_bad_input_is_one_clear_line(words: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words) == 1
    assert message in capsys.readouterr().err


def test_negative_workers_are_refused() -> None:
    with pytest.raises(InputError, match="num_workers=-1"):
        bench_data(config(), num_workers=-1)
