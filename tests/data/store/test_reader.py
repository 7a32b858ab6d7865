"""Reading a store: the frames of the files, in any order, from anywhere, and nothing that was smuggled in."""

from __future__ import annotations

import io
import json
import os
import tarfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from mv2mae.config import ClipConfig, PairConfig, StoreConfig
from mv2mae.data.datamodule import finetune_data, pretrain_data
from mv2mae.data.manifest import read_manifest, write_manifest
from mv2mae.data.store import stream_shard
from mv2mae.data.store.index import read_index, read_record
from mv2mae.data.store.packets import PacketDecoder
from mv2mae.data.store.prepare import prepare
from mv2mae.data.store.reader import Store, open_item
from mv2mae.data.store.shards import add_item, add_member, open_shard
from mv2mae.data.video import VideoError, decode_video, read_frames, read_info
from mv2mae.data.videos import Videos
from mv2mae.errors import InputError


@pytest.fixture(scope="module")
def rows(takes: pd.DataFrame) -> pd.DataFrame:
    """The videos of `takes`, and four of the sample set, which show more."""
    sample = read_manifest("sample").query("group == 'S001P001R001A001'")
    return pd.concat([takes, sample], ignore_index=True)


@pytest.fixture(scope="module")
def files(rows: pd.DataFrame, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_manifest(rows, tmp_path_factory.mktemp("files") / "m.parquet")


@pytest.fixture(scope="module")
def stored(files: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("stored")
    prepare(files, out, StoreConfig(shard_size=4), progress=False)
    return out / "manifest.parquet"


@pytest.fixture
def own(files: Path, tmp_path: Path) -> Path:
    """A store that a test may damage."""
    prepare(write_manifest(read_manifest(files)[:2], tmp_path / "m.csv"), tmp_path / "out", progress=False)
    return tmp_path / "out" / "manifest.parquet"


def test_pixels_equal_the_files_within_compression(files: Path, stored: Path) -> None:
    pairs = list(zip(read_manifest(files)["path"], read_manifest(stored)["path"], strict=True))[-4:]
    for original, item in pairs:
        a, b = decode_video(original), decode_video(item)
        assert np.array_equal(a.times, b.times)
        error = b.frames.double() - a.frames.double()
        assert 10 * np.log10(255**2 / float(error.square().mean())) > 39
        assert error.mean().abs() < 0.5  # no shade darker or lighter


def test_scaled_reading_equals_the_files_within_compression(files: Path, stored: Path) -> None:
    original, item = read_manifest(files)["path"].iloc[-1], read_manifest(stored)["path"].iloc[-1]
    for side in (96, 180):
        a, b = (Videos().read(path, [0.1, 1.0], short_side=side, exact=True) for path in (original, item))
        assert a.shape == b.shape == (2, side, side, 3)
        assert (a.double() - b.double()).abs().mean() < 2.5
    assert Videos().read(item, [0.1], short_side=180).shape[1] == 128  # never enlarged unless exact


def test_reading_at_random_equals_reading_in_order(stored: Path) -> None:
    rng = np.random.default_rng(0)
    for path in read_manifest(stored)["path"]:
        whole = decode_video(path)
        for count in (1, 5, 16):
            chosen = rng.integers(len(whole.times), size=count)  # in any order, some twice
            assert torch.equal(read_frames(path, whole.times[chosen]), whole.frames[chosen])
        stride4 = np.arange(3, len(whole.times), 4)
        assert torch.equal(read_frames(path, whole.times[stride4]), whole.frames[stride4])


def test_a_clip_decodes_little_more_than_it_shows(stored: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, fed = read_manifest(stored)["path"].iloc[-1], []
    decode = PacketDecoder.frames

    def counted(self: PacketDecoder, positions: list[int], keys: np.ndarray, *rest: object) -> None:
        groups = np.searchsorted(keys, positions, side="right") - 1
        fed.extend(max(p for p, g in zip(positions, groups, strict=True) if g == k) - keys[k] + 1 for k in set(groups))
        decode(self, positions, keys, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(PacketDecoder, "frames", counted)
    read_frames(path, np.arange(2, 64, 4) / 30)
    assert sum(fed) == 16


def test_a_streamed_shard_holds_what_the_index_finds(stored: Path) -> None:
    folder = stored.parent / "store"
    seen = []
    for shard in sorted(folder.glob("*.tar")):
        for key, header, payload in stream_shard(io.BytesIO(shard.read_bytes())):
            seen.append(key)
            item = open_item(f"{shard}#{key}")
            assert item.info == header.info
            assert np.array_equal(item.times, np.sort(header.times))
            assert sum(header.sizes) == len(payload)
            order = np.argsort(header.times)
            got: dict[int, np.ndarray] = {}
            positions = list(range(len(header.times)))
            ends = np.cumsum(header.sizes)
            PacketDecoder().frames(
                positions,
                np.asarray(header.keys),
                ends,
                lambda a, b, p=payload: p[a:b],
                lambda i, frame, got=got: got.update({i: frame.to_ndarray(format="rgb24")}),
            )
            assert np.array_equal(np.stack([got[i] for i in order]), item.read_all().numpy())
    assert sorted(seen) == sorted(Store(str(folder))._rows)


@pytest.mark.parametrize("index", [0, 1, 2])
def test_training_sees_the_same_windows_as_on_the_files(files: Path, stored: Path, index: int) -> None:
    def data(manifest: Path) -> object:
        config = PairConfig(manifest=str(manifest), crop="centre", frame_stride=2)
        return pretrain_data(config, num_frames=4, size=48, seed=3, progress=False).train

    ours, theirs = data(stored), data(files)
    assert len(ours) == len(theirs) > index  # type: ignore[arg-type]
    for epoch in range(2):
        a, b = ours[(epoch, index)], theirs[(epoch, index)]  # type: ignore[index]
        assert (a["index"], a["source_index"], a["seed"]) == (b["index"], b["source_index"], b["seed"])
        for x, y in ((a["target"], b["target"]), (a["sources"], b["sources"])):
            assert (x.double() - y.double()).abs().mean() < 3
    for offset in (0.0, 0.3, 1.0):
        for mine, other in zip(ours.window([0, 1, 2], offset), theirs.window([0, 1, 2], offset), strict=True):  # type: ignore[attr-defined]
            np.testing.assert_array_equal(mine, other)


def test_segments_give_the_same_windows_as_the_whole_file(tmp_path: Path) -> None:
    frame = read_manifest("sample")[:4].assign(start=[0.31, 0.31, 0.4, 0.5], end=[1.5, 1.61, 1.7, 9.0])
    files = write_manifest(frame, tmp_path / "m.csv")
    prepare(files, tmp_path / "out", progress=False)
    clips = []
    for manifest in (files, tmp_path / "out" / "manifest.parquet"):
        config = ClipConfig(manifest=str(manifest), frame_stride=2)
        clips.append(finetune_data(config, num_frames=8, size=64, num_repeats=1, seed=0, progress=False).train)
    for index in range(4):
        for offset in (0.0, 0.37, 1.0):
            np.testing.assert_array_equal(clips[0].times(index, offset), clips[1].times(index, offset))
        a, b = (clip[(0, index)]["clips"].double() for clip in clips)
        assert (a - b).abs().mean() < 2.5


def test_memory_and_store_give_the_same_clips(stored: Path) -> None:
    def target(cache: str) -> torch.Tensor:
        config = PairConfig(manifest=str(stored), crop="centre", frame_stride=2, cache=cache, cache_size=48)  # type: ignore[arg-type]
        return pretrain_data(config, num_frames=4, size=48, seed=0, progress=False).train[(0, 0)]["target"]

    assert torch.equal(target("none"), target("memory"))


def test_threads_and_processes_read_the_same(stored: Path) -> None:
    paths = read_manifest(stored)["path"].tolist() * 4
    alone = [read_frames(path, [0.2, 0.9]) for path in paths]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda path: read_frames(path, [0.2, 0.9]), paths))
    assert all(torch.equal(a, b) for a, b in zip(alone, together, strict=True))
    if hasattr(os, "fork"):  # loader workers share the open shards of their parent
        read, write = os.pipe()
        child = os.fork()
        if child == 0:
            os.write(write, b"1" if torch.equal(read_frames(paths[0], [0.2, 0.9]), alone[0]) else b"0")
            os._exit(0)
        os.waitpid(child, 0)
        assert os.read(read, 1) == b"1"


def test_memory_stays_flat(stored: Path) -> None:
    paths, rng = read_manifest(stored)["path"].tolist(), np.random.default_rng(0)

    def resident() -> int:
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE")

    if not Path("/proc/self/statm").exists():
        pytest.skip("no /proc: the process's memory cannot be read")
    videos = Videos()
    for i in range(3000):
        if i == 600:
            before = resident()
        videos.read(paths[i % len(paths)], rng.uniform(0, 1.2, 2), short_side=48)
    assert resident() - before < 12e6


# --- damage and malice ---------------------------------------------------------------------------------------


def test_a_pipe_in_the_place_of_a_shard_is_not_waited_for(own: Path) -> None:
    item = read_manifest(own)["path"][0]
    shard = Path(item.partition("#")[0])
    shard.unlink()
    os.mkfifo(shard)
    with pytest.raises(VideoError, match="its shard cannot be read .it is no regular file"):
        open_item(item)
    with pytest.raises(InputError, match="no regular file"):
        list(stream_shard(shard))


def test_damage_is_named(own: Path) -> None:
    path = read_manifest(own)["path"][0]
    shard = own.parent / "store" / "shard-000000.tar"
    content = shard.read_bytes()
    place = Store(str(shard.parent))._places[0]
    damaged = bytearray(content)
    damaged[place[2] : place[2] + place[3]] = bytes(place[3])
    shard.write_bytes(damaged)
    with pytest.raises(VideoError, match="is damaged: its bytes"):
        read_frames(path, [0.5])
    shard.write_bytes(content[: place[2] + 10])
    with pytest.raises(VideoError, match="shard is cut off"):
        read_frames(path, [0.5])
    shard.write_bytes(content)
    os.utime(shard.parent / "index.parquet", (1, 1))
    assert len(read_frames(path, [0.5])) == 1
    shard.unlink()
    os.utime(shard.parent / "index.parquet", (2, 2))
    with pytest.raises(VideoError, match="shard-000000.tar"):
        read_frames(path, [0.5])


def test_every_changed_byte_of_an_item_is_noticed(own: Path) -> None:
    path = read_manifest(own)["path"][0]
    shard = own.parent / "store" / "shard-000000.tar"
    content = shard.read_bytes()
    place = Store(str(shard.parent))._places[0]
    for offset in (*range(place[0] + 3, place[0] + place[1], 37), *range(place[2], place[2] + place[3], 97)):
        damaged = bytearray(content)
        damaged[offset] ^= 1
        shard.write_bytes(damaged)
        os.utime(shard.parent / "index.parquet", (int(offset), 1))  # so that the item is opened anew
        with pytest.raises(VideoError, match=r"damaged|contradicts|prepare"):
            open_item(path).read_all()
        with pytest.raises(InputError):
            list(stream_shard(shard))


def test_a_stream_that_is_no_whole_shard_is_told(own: Path) -> None:
    shard = own.parent / "store" / "shard-000000.tar"
    items, content = list(stream_shard(shard)), shard.read_bytes()
    (key, header, payload), *_ = items
    made = io.BytesIO()
    with open_shard(made) as tar:
        ends = [tar.offset for _ in range(2) if add_item(tar, key, header, payload)]
    only = made.getvalue()[: ends[0]]
    for data, message in (
        (made.getvalue(), f"holds {key} twice"),
        (only, "cut off behind a whole item"),
        (bytes(len(content)), "holds no item"),
        (b"", "no whole tar"),
    ):
        with pytest.raises(InputError, match=message):
            list(stream_shard(io.BytesIO(data)))
    assert list(stream_shard(io.BytesIO(only + bytes(1024)))) == items[:1]


def test_items_without_checksums_are_read(own: Path) -> None:
    shard = own.parent / "store" / "shard-000000.tar"
    items = list(stream_shard(shard))
    with (shard.with_name("old.tar")).open("wb") as file, open_shard(file) as tar:
        for key, header, payload in items:
            old = {name: value for name, value in asdict(header).items() if name != "checks"}
            add_member(tar, f"{key}.json", json.dumps(old).encode())
            add_member(tar, f"{key}.h264", payload)
    again = list(stream_shard(shard.with_name("old.tar")))
    assert [(key, replace(header, checks=[]), payload) for key, header, payload in items] == again


def test_a_changed_index_and_record_are_noticed(own: Path) -> None:
    folder = own.parent / "store"
    for file in (folder / "index.parquet", folder / "parts" / "shard-000000.parquet"):
        content = bytearray(file.read_bytes())
        content[len(content) // 2] ^= 1
        file.write_bytes(content)
    with pytest.raises(InputError, match=r"is no index of a store \(.*is damaged"):
        read_index(folder / "index.parquet")
    assert read_record(folder / "parts" / "shard-000000.parquet") is None


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("store/shard-000000.tar#../../etc/passwd", "is no key of a store"),
        ("store/shard-000000.tar#/etc/passwd", "is no key of a store"),
        ("store/other.tar#00000000-a-1", "is no shard of a store"),
        ("store/shard-000000.tar#00000009-a-1", "has no such item"),
        ("nowhere/shard-000000.tar#00000000-a-1", "holds no index.parquet"),
        ("store/shard-000000.tar#a#b", "is no shard of a store"),
    ],
)
def test_paths_that_name_no_item_are_refused(own: Path, path: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        read_info(str(own.parent / path))


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("../escape.json", tarfile.REGTYPE),
        ("/etc/passwd.json", tarfile.REGTYPE),
        ("a/b.json", tarfile.REGTYPE),
        ("key.json", tarfile.SYMTYPE),
        ("key.pickle", tarfile.REGTYPE),
        ("key.h264", tarfile.REGTYPE),
    ],
)
def test_members_that_do_not_belong_are_refused(tmp_path: Path, name: str, kind: bytes) -> None:
    with tarfile.open(tmp_path / "shard-000000.tar", "w") as tar:
        member = tarfile.TarInfo(name)
        member.type, member.linkname = kind, "/etc/passwd"
        tar.addfile(member, io.BytesIO(b""))
    with pytest.raises(InputError, match="no key of a store|not what a shard holds"):
        list(stream_shard(tmp_path / "shard-000000.tar"))


def test_a_cut_off_tar_is_refused_while_it_is_streamed(own: Path) -> None:
    content = (own.parent / "store" / "shard-000000.tar").read_bytes()
    header, header_size, payload, _ = Store(str(own.parent / "store"))._places[0].tolist()
    for length in (header - 100, header + 20, header + header_size, payload + 200):
        with pytest.raises(InputError, match="no whole tar|ends before|damaged"):
            list(stream_shard(io.BytesIO(content[:length])))


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("key", "../../escape", "is no key of a store"),
        ("offset", -5, "places that cannot be"),
        ("shard", 1_000_000, "places that cannot be"),
        ("key", "00000001-a-2", "twice"),
    ],
)
def test_a_hostile_index_is_refused(own: Path, column: str, value: object, message: str) -> None:
    file = own.parent / "store" / "index.parquet"
    table = pd.read_parquet(file)
    table.loc[0, column] = value
    table.to_parquet(file)
    with pytest.raises(InputError, match=message):
        read_index(file)
    with pytest.raises(VideoError, match=message):  # in a manifest it is one broken video
        read_info(read_manifest(own)["path"][0])


@pytest.mark.parametrize("size", [1 << 33, 1 << 60])
def test_an_index_that_asks_for_too_much_is_refused(own: Path, size: int) -> None:
    file = own.parent / "store" / "index.parquet"
    table = pd.read_parquet(file)
    table.loc[0, "header_size"] = size
    table.to_parquet(file)
    with pytest.raises(VideoError, match="shard is cut off"):
        read_info(read_manifest(own)["path"][0])


@pytest.mark.parametrize(
    "change",
    [
        {"sizes": [1]},
        {"fps": 0},
        {"times": "abc"},
        {"keys": [5]},
        {"extra": 1},
        {"width": "64"},
        {"height": 0},
        {"keys": [0, 1.5]},
    ],
)
def test_headers_that_contradict_themselves_are_refused(own: Path, change: dict[str, object]) -> None:
    from mv2mae.data.store.shards import ItemHeader

    place = Store(str(own.parent / "store"))._places[0]
    text = (own.parent / "store" / "shard-000000.tar").read_bytes()[place[0] : place[0] + place[1]]
    with pytest.raises(InputError, match="x: the item's header is damaged|x: the header of the item contradicts"):
        ItemHeader.parse(json.dumps({**json.loads(text), **change}).encode(), "x")
