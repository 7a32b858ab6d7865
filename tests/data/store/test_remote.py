"""Stores behind URLs: read through a cache that processes share, and clear words where that fails."""

from __future__ import annotations

import io
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import fsspec
import pandas as pd
import pytest
import torch

from mv2mae.config import PairConfig, StoreConfig
from mv2mae.data import remote
from mv2mae.data.datamodule import pretrain_data
from mv2mae.data.manifest import read_manifest, write_manifest
from mv2mae.data.remote import local_copy
from mv2mae.data.store import stream_shard
from mv2mae.data.store.prepare import prepare
from mv2mae.data.video import read_frames
from mv2mae.errors import InputError


@pytest.fixture(scope="module")
def stored(takes: pd.DataFrame, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store of two shards."""
    folder = tmp_path_factory.mktemp("remote")
    prepare(write_manifest(takes, folder / "m.csv"), folder / "out", StoreConfig(shard_size=4), progress=False)
    return folder / "out" / "manifest.parquet"


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MV2MAE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.mark.parametrize("scheme", ["memory", "file"])
def test_stores_behind_urls_are_read_through_the_cache(stored: Path, tmp_path: Path, cache: Path, scheme: str) -> None:
    url = f"memory://{tmp_path.name}" if scheme == "memory" else f"file://{stored.parent}"
    if scheme == "memory":
        memory = fsspec.filesystem("memory")
        for file in (stored, *(stored.parent / "store").glob("*.*")):
            memory.pipe(f"/{tmp_path.name}/{file.relative_to(stored.parent).as_posix()}", file.read_bytes())
    far, near = read_manifest(f"{url}/manifest.parquet")["path"], read_manifest(stored)["path"]
    for there, here in list(zip(far, near, strict=True))[:5]:
        assert there.startswith(url)
        assert torch.equal(read_frames(there, [0.2, 0.6]), read_frames(here, [0.2, 0.6]))
    kept = sorted(f.name.split("-", 1)[1] for f in cache.iterdir() if not f.name.startswith("."))
    assert kept == ["index.parquet", "manifest.parquet", "shard-000000.tar", "shard-000001.tar"]
    config = PairConfig(manifest=f"{url}/manifest.parquet", frame_stride=2)
    data = pretrain_data(config, num_frames=4, size=48, seed=0, progress=False)
    assert data.train[(0, 0)]["target"].shape == (3, 4, 48, 48)


def test_a_shard_is_streamed_from_its_url(stored: Path, cache: Path) -> None:
    shard = stored.parent / "store" / "shard-000000.tar"
    assert list(stream_shard(f"file://{shard}")) == list(stream_shard(shard))
    assert not cache.exists()
    with pytest.raises(InputError, match="no such file"):
        list(stream_shard(f"file://{shard}.none"))


def test_many_readers_wait_for_one_copy(stored: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    copy, copies = remote.shutil.copyfileobj, []

    def counted(*args: Any) -> None:
        copies.append(args)
        copy(*args)

    monkeypatch.setattr(remote.shutil, "copyfileobj", counted)
    with ThreadPoolExecutor(8) as pool:
        found = set(pool.map(local_copy, [f"file://{stored}"] * 32))
    assert len(found) == len(copies) == 1
    assert found.pop().read_bytes() == stored.read_bytes()


def test_a_changed_file_is_copied_again(tmp_path: Path) -> None:
    file = tmp_path / "f.bin"
    for content in (b"one", b"other"):
        file.write_bytes(content)
        assert local_copy(f"file://{file}").read_bytes() == content


@pytest.mark.parametrize("broken", ["error", "short"])
def test_a_failed_copy_leaves_nothing_behind(
    stored: Path, cache: Path, monkeypatch: pytest.MonkeyPatch, broken: str
) -> None:
    def break_off(source: io.BufferedIOBase, target: io.BufferedIOBase, size: int) -> None:
        target.write(source.read(100))
        if broken == "error":
            raise RuntimeError("connection lost")  # file systems raise what they like

    monkeypatch.setattr(remote.shutil, "copyfileobj", break_off)
    with pytest.raises(InputError, match="connection lost" if broken == "error" else "100 of .* bytes have come"):
        read_manifest(f"file://{stored}")
    assert not [f for f in cache.iterdir() if f.suffix != ".lock"]


def test_what_a_killed_copy_left_is_removed(stored: Path, cache: Path) -> None:
    kept = local_copy(f"file://{stored}")
    kept.rename(left := kept.with_name(f".{kept.name}.0123abcd.tmp"))
    assert local_copy(f"file://{stored}") == kept
    assert not left.exists()


def test_what_is_missing_is_named(stored: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match="no such file"):
        read_manifest(f"file://{stored.parent}/none.parquet")
    with pytest.raises(InputError, match="nowhere://x/m.csv cannot be opened .*remote"):
        read_manifest("nowhere://x/m.csv")
    monkeypatch.setitem(sys.modules, "fsspec", None)
    with pytest.raises(InputError, match=r"needs fsspec; pip install -e '\.\[remote\]'"):
        read_manifest(f"file://{stored}")
