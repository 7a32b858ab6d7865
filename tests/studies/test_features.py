"""Features of a frozen encoder: what they are, that they are kept, and that a killed extraction goes on."""

import dataclasses
import json
import os
import shutil

import pandas as pd
import pytest
import torch
from frozen import DATA, few_videos, tiny_weights

from mv2mae.config import EvalConfig, FeatureConfig, StoreConfig
from mv2mae.data import room
from mv2mae.data.clips import EvalDataset
from mv2mae.data.manifest import read_manifest, write_manifest
from mv2mae.data.store.prepare import prepare
from mv2mae.data.videos import Videos
from mv2mae.data.windows import ClipSpec
from mv2mae.errors import InputError
from mv2mae.studies import features
from mv2mae.studies.extract import extract, read_features, rows_to_extract
from mv2mae.studies.features import FrozenEncoder, Parts, encode_videos, extract_features, frozen_encoder
from mv2mae.weights import load_encoder


@pytest.fixture
def weights(tiny, tmp_path, monkeypatch):
    monkeypatch.setenv("MV2MAE_CACHE", str(tmp_path / "cache"))
    return tiny_weights(tmp_path / "model.safetensors", tiny)


@pytest.fixture
def rows(tmp_path):
    return read_manifest(few_videos(tmp_path / "manifest.csv")).head(6)


def plain_tokens(weights, rows, num_clips):
    """Tokens [v, c, n, d], a video at a time."""
    encoder = load_encoder(weights)
    test = EvalConfig(num_clips=num_clips, num_crops=1)
    clips = EvalDataset(rows, ClipSpec.of(DATA, 4, 32), test=test, videos=Videos())
    with torch.no_grad():
        return torch.stack([encoder(clips[i]["clips"]) for i in range(len(rows))])


def test_levels_are_means_of_the_encoders_tokens(weights, rows):
    tokens = plain_tokens(weights, rows, num_clips=2)
    frozen = frozen_encoder(weights)
    wanted = {
        "clip": tokens.mean(dim=2, keepdim=True),
        "frame": tokens.unflatten(2, (2, 16)).mean(dim=3),
        "token": tokens,
    }
    for level, values in wanted.items():
        found = extract_features(frozen, rows, DATA, FeatureConfig(level=level, num_clips=2, batch_size=3))
        torch.testing.assert_close(found.values.float(), values, atol=3e-3, rtol=1e-3)
        torch.testing.assert_close(found.of_videos(), tokens.mean(dim=(1, 2)), atol=1e-3, rtol=1e-3)
        assert found.times.shape == (6, 2, 2)
        assert (found.times[:, 1, 0] > found.times[:, 0, 0]).all()
        assert found.errors == {}


def test_a_layer_gives_the_tokens_that_leave_that_block(weights, rows):
    encoder = load_encoder(weights)
    seen = []
    encoder.blocks[0].register_forward_hook(lambda block, inputs, output: seen.append(output))
    found = extract_features(frozen_encoder(weights, layer=1), rows.head(1), DATA, FeatureConfig(level="token"))
    clips = EvalDataset(rows, ClipSpec.of(DATA, 4, 32), test=EvalConfig(num_clips=1, num_crops=1), videos=Videos())
    with torch.no_grad():
        encoder(clips[0]["clips"])
    torch.testing.assert_close(found.values[0].float(), seen[0], atol=3e-3, rtol=1e-3)
    with pytest.raises(InputError, match="layer=3, but the encoder of .* has 2 blocks"):
        frozen_encoder(weights, layer=3)


def test_a_second_look_computes_nothing(weights, rows, monkeypatch):
    first = extract_features(frozen_encoder(weights), rows, DATA, FeatureConfig())
    monkeypatch.setattr(features, "encode_videos", lambda *args: pytest.fail("computed again"))
    second = extract_features(frozen_encoder(weights), rows, DATA, FeatureConfig(batch_size=5))
    assert torch.equal(first.values, second.values)


def test_a_damaged_part_is_made_again(weights, rows, caplog):
    frozen = frozen_encoder(weights)
    first = extract_features(frozen, rows, DATA, FeatureConfig())
    (file,) = Parts(frozen, rows, DATA, FeatureConfig()).folder.iterdir()
    content = bytearray(file.read_bytes())
    content[-5] ^= 1
    file.write_bytes(content)
    assert torch.equal(extract_features(frozen, rows, DATA, FeatureConfig()).values, first.values)
    assert "it is made again" in caplog.text


@pytest.mark.parametrize("ending", ["parquet", "safetensors"])
def test_damaged_features_are_not_finished(weights, rows, tmp_path, ending, caplog):
    out, frozen = tmp_path / f"f.{ending}", frozen_encoder(weights)
    extract(frozen, rows, DATA, FeatureConfig(), out, progress=False)
    whole = out.read_bytes()
    _, values = read_features(out)
    flat = values.flatten().numpy().tobytes()
    place = whole.find(flat[:64]) + 7 if ending == "safetensors" else len(whole) // 3
    out.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
    with pytest.raises(InputError, match="is damaged"):
        read_features(out)
    extract(frozen, rows, DATA, FeatureConfig(), out, progress=False)
    assert "it is made again" in caplog.text
    assert out.read_bytes() == whole


def test_features_that_are_no_numbers_are_refused(weights, rows, tiny, tmp_path):
    encoder = load_encoder(weights)
    with torch.no_grad():
        encoder.norm.weight.fill_(1e38).mul_(100)  # no single weight is beyond what float32 holds
    frozen = FrozenEncoder("large", encoder, "large")
    with pytest.raises(InputError, match="features are not finite"):
        extract_features(frozen, rows, DATA, FeatureConfig())


def test_other_weights_videos_or_settings_are_other_features(weights, rows, tiny, tmp_path):
    other = tiny_weights(tmp_path / "other.safetensors", tiny, seed=1)
    frozen = frozen_encoder(weights)
    variants = [
        (frozen, rows, DATA, FeatureConfig()),
        (frozen_encoder(other), rows, DATA, FeatureConfig()),
        (frozen_encoder(weights, untrained=True), rows, DATA, FeatureConfig()),
        (frozen_encoder(weights, layer=1), rows, DATA, FeatureConfig()),
        (frozen, rows.head(5), DATA, FeatureConfig()),
        (frozen, rows, dataclasses.replace(DATA, frame_stride=2), FeatureConfig()),
        (frozen, rows, DATA, FeatureConfig(num_clips=2)),
        (frozen, rows, DATA, FeatureConfig(level="token")),
    ]
    assert len({Parts(*variant).digest for variant in variants}) == len(variants)


def prepared(manifest, out, short_side):
    """Rows of the store of a manifest, made in a folder that is empty before."""
    shutil.rmtree(out, ignore_errors=True)
    prepare(manifest, out, StoreConfig(short_side=short_side), progress=False)
    return read_manifest(out / "manifest.parquet")


def test_changed_videos_have_other_features(weights, rows, tmp_path):
    frozen, config = frozen_encoder(weights), FeatureConfig()
    copies = rows.head(2).assign(
        path=[str(shutil.copy(path, tmp_path / f"{i}.mp4")) for i, path in enumerate(rows["path"].head(2))]
    )
    first = extract_features(frozen, copies, DATA, config).values
    assert torch.equal(extract_features(frozen, copies, DATA, config).values, first)
    shutil.copy(rows["path"][5], tmp_path / "1.mp4")
    second = extract_features(frozen, copies, DATA, config).values
    assert torch.equal(second[0], first[0])
    assert not torch.equal(second[1], first[1])


def test_a_store_that_is_prepared_anew_has_other_features(weights, rows, tmp_path):
    frozen, config = frozen_encoder(weights), FeatureConfig()
    manifest, out = write_manifest(rows.head(2), tmp_path / "few.csv"), tmp_path / "prepared"
    large = prepared(manifest, out, 48)
    first = extract_features(frozen, large, DATA, config).values
    digest = Parts(frozen, large, DATA, config).digest
    prepare(manifest, out, StoreConfig(short_side=48), progress=False)  # nothing to do but the index
    assert Parts(frozen, large, DATA, config).digest == digest
    extract(frozen, large, DATA, config, tmp_path / "f.parquet")
    small = prepared(manifest, out, 24)
    assert small["path"].tolist() == large["path"].tolist()
    assert not torch.equal(extract_features(frozen, small, DATA, config).values, first)
    with pytest.raises(InputError, match="holds other features"):
        extract(frozen, small, DATA, config, tmp_path / "f.parquet")


def test_errors_of_a_store_without_its_index_are_not_kept(weights, rows, tmp_path):
    frozen, config = frozen_encoder(weights), FeatureConfig()
    stored = prepared(write_manifest(rows.head(2), tmp_path / "few.csv"), tmp_path / "prepared", 48)
    index = tmp_path / "prepared" / "store" / "index.parquet"
    index.rename(tmp_path / "away")
    with pytest.raises(InputError, match="none of the 2 videos can be read"):
        extract_features(frozen, stored, DATA, config)
    (tmp_path / "away").rename(index)
    assert extract_features(frozen, stored, DATA, config).errors == {}


def test_errors_of_a_store_with_a_damaged_index_are_not_kept(weights, rows, tmp_path):
    frozen, config = frozen_encoder(weights), FeatureConfig(num_workers=0)
    stored = prepared(write_manifest(rows.head(2), tmp_path / "few.csv"), tmp_path / "prepared", 48)
    index = tmp_path / "prepared" / "store" / "index.parquet"
    whole, time = index.read_bytes(), index.stat().st_mtime_ns
    index.write_bytes(bytes([*whole[:99], whole[99] ^ 1, *whole[100:]]))
    with pytest.raises(InputError, match="is damaged"):
        extract_features(frozen, stored, DATA, config)
    index.write_bytes(whole)
    os.utime(index, ns=(time, time))  # as a copy of the original has it
    assert extract_features(frozen, stored, DATA, config).errors == {}


def test_what_failed_behind_a_url_is_read_again(weights, rows, tmp_path, monkeypatch):
    memory = pytest.importorskip("fsspec").filesystem("memory")
    frozen, config = frozen_encoder(weights), FeatureConfig()
    prepare(write_manifest(rows.head(2), tmp_path / "few.csv"), tmp_path, StoreConfig(shard_size=1), progress=False)
    stored, folder = read_manifest(tmp_path / "manifest.parquet"), tmp_path / "store"
    stored = stored.assign(path=[path.replace(str(folder), "memory://features") for path in stored["path"]])
    for name in ("index.parquet", "shard-000000.tar"):
        memory.pipe(f"/features/{name}", (folder / name).read_bytes())
    assert list(extract_features(frozen, stored, DATA, config).errors) == [1]
    memory.pipe("/features/shard-000001.tar", (folder / "shard-000001.tar").read_bytes())
    assert extract_features(frozen, stored, DATA, config).errors == {}
    monkeypatch.setattr(features, "encode_videos", lambda *args: pytest.fail("computed again"))
    extract_features(frozen, stored, DATA, config)


def test_a_worker_that_died_is_told_in_one_line(weights, rows, monkeypatch):
    def loader(*args, **settings):
        raise RuntimeError("DataLoader worker (pid 5) is killed by signal: Killed.")
        yield

    monkeypatch.setattr(features, "make_loader", loader)
    with pytest.raises(InputError, match="a process that reads videos has died") as raised:
        extract_features(frozen_encoder(weights), rows, DATA, FeatureConfig())
    assert "\n" not in str(raised.value)


def test_what_reading_takes_is_told_or_refused(weights, rows, monkeypatch, capsys):
    frozen = frozen_encoder(weights)
    extract_features(frozen, rows.head(2), DATA, FeatureConfig(num_workers=1))
    assert "  readers 1 process, about " in capsys.readouterr().out
    monkeypatch.setattr(room, "known_free_memory", lambda: 1)
    with pytest.raises(InputError, match=r"^num_workers=2 means 2 processes, .*fewer items at a time \(batch_size\)"):
        extract_features(frozen, rows.head(3), DATA, FeatureConfig(num_workers=2))


def test_the_untrained_encoder_follows_from_its_seed(weights):
    one, same, other = (frozen_encoder(weights, untrained=True, seed=seed) for seed in (0, 0, 1))
    assert one.digest == same.digest != other.digest
    assert one.digest != frozen_encoder(weights).digest


@pytest.mark.slow
@pytest.mark.parametrize("ending", ["parquet", "safetensors"])
def test_a_killed_extraction_goes_on_and_gives_the_same_file(weights, rows, tmp_path, monkeypatch, ending):
    monkeypatch.setattr(features, "_PART_VIDEOS", 2)
    frozen, config = frozen_encoder(weights), FeatureConfig(level="frame", num_clips=2)
    whole = extract(frozen, rows, DATA, config, tmp_path / f"whole.{ending}")
    encoded = []

    def dying(*args):
        for video in encode_videos(*args):
            if len(encoded) == 5:
                raise KeyboardInterrupt
            encoded.append(video)
            yield video

    out = tmp_path / f"out.{ending}"
    with monkeypatch.context() as patch:
        patch.setattr(features, "encode_videos", dying)
        with pytest.raises(KeyboardInterrupt):
            extract(frozen, rows, DATA, config, out)
    assert len(list((tmp_path / f"out.{ending}.parts").iterdir())) == 2
    assert not out.exists()
    again = []
    monkeypatch.setattr(features, "encode_videos", lambda *args: (again.append(v) or v for v in encode_videos(*args)))
    done = extract(frozen, rows, DATA, config, out)
    assert len(again) == 2
    assert done.num_rows == whole.num_rows == 6 * 2 * 2
    assert not (tmp_path / f"out.{ending}.parts").exists()
    (table, values), (table2, values2) = read_features(out), read_features(whole.out)
    pd.testing.assert_frame_equal(table, table2)
    assert torch.equal(values, values2)
    (tmp_path / f"out.{ending}.parts").mkdir()  # what a process leaves that is killed after its last rename
    extract(frozen, rows, DATA, config, out)
    assert len(again) == 2
    assert not (tmp_path / f"out.{ending}.parts").exists()
    with pytest.raises(InputError, match="holds other features"):
        extract(frozen, rows, DATA, FeatureConfig(), out)


@pytest.mark.parametrize("ending", ["parquet", "safetensors"])
def test_rows_say_what_they_are_of(weights, rows, tmp_path, ending):
    done = extract(frozen_encoder(weights), rows, DATA, FeatureConfig(level="token"), tmp_path / f"t.{ending}")
    table, values = read_features(done.out)
    assert values.shape == (6 * 32, 32)
    assert list(table.columns) == [
        "path",
        "group",
        "view",
        "label",
        "subject",
        "setup",
        "clip",
        "row",
        "column",
        "time",
    ]
    first = table[table["path"] == rows["path"][0]]
    assert (first["group"] == rows["group"][0]).all()
    assert first["label"].astype(int).unique().tolist() == [int(rows["label"][0])]
    assert sorted(zip(first["time"], first["row"], first["column"], strict=True)) == list(
        zip(first["time"], first["row"], first["column"], strict=True)
    )
    tokens = plain_tokens(weights, rows, num_clips=1)
    torch.testing.assert_close(values.float(), tokens.flatten(0, 2), atol=3e-3, rtol=1e-3)


def test_prepared_videos_keep_the_names_of_their_originals(weights, rows, tmp_path):
    stored = prepared(write_manifest(rows.head(4), tmp_path / "few.csv"), tmp_path / "prepared", 48)
    done = extract(frozen_encoder(weights), stored, DATA, FeatureConfig(), tmp_path / "f.parquet")
    table, _ = read_features(done.out)
    assert table["original"].tolist() == rows["path"].head(4).tolist()
    assert table["path"].tolist() == stored["path"].tolist()
    fused = extract(frozen_encoder(weights), stored, DATA, FeatureConfig(), tmp_path / "g.parquet", fused=True)
    assert "original" not in read_features(fused.out)[0]


@pytest.mark.parametrize("fused", [False, True])
def test_labels_come_with_the_names_of_their_classes(weights, tmp_path, fused):
    manifest = few_videos(tmp_path / "m.csv")
    labels = sorted(set(read_manifest(manifest)["label"]))
    (tmp_path / "m.classes.json").write_text(json.dumps({str(label): f"class {label}" for label in labels}))
    rows = rows_to_extract(dataclasses.replace(DATA, manifest=str(manifest)), "all")
    for ending in ("parquet", "safetensors"):
        done = extract(frozen_encoder(weights), rows, DATA, FeatureConfig(), tmp_path / f"f.{ending}", fused=fused)
        table, _ = read_features(done.out)
        assert table["class_name"].tolist() == [f"class {label}" for label in table["label"]]


def test_fused_features_are_means_over_the_views_that_can_be_read(weights, tmp_path):
    rows = read_manifest(few_videos(tmp_path / "m.csv", broken=[1])).head(6)
    frozen = frozen_encoder(weights)
    done = extract(frozen, rows, DATA, FeatureConfig(), tmp_path / "f.parquet", fused=True)
    table, values = read_features(done.out)
    assert list(table.columns) == ["group", "label", "subject", "setup", "clip", "time"]
    single = extract_features(frozen, rows, DATA, FeatureConfig()).of_videos()
    torch.testing.assert_close(values, torch.stack([(single[0] + single[2]) / 2, single[3:].mean(dim=0)]))
    with pytest.raises(InputError, match="do not show the same places"):
        extract(frozen, rows, DATA, FeatureConfig(level="token"), tmp_path / "g.parquet", fused=True)


def test_broken_videos_are_listed_and_left_out(weights, tmp_path):
    rows = read_manifest(few_videos(tmp_path / "m.csv", broken=[0, 4])).head(6)
    done = extract(frozen_encoder(weights), rows, DATA, FeatureConfig(), tmp_path / "f.parquet")
    assert [path for path, _ in done.broken] == [rows["path"][0], rows["path"][4]]
    assert done.num_rows == 4
    assert done.report.exists()
    with pytest.raises(InputError, match="none of the 2 videos can be read"):
        extract(frozen_encoder(weights), rows.iloc[[0, 4]], DATA, FeatureConfig(), tmp_path / "g.parquet")


def test_a_file_that_is_no_extraction_is_refused(weights, rows, tmp_path):
    with pytest.raises(InputError, match=r"ends in \.csv; features go to a file in \.parquet"):
        extract(frozen_encoder(weights), rows, DATA, FeatureConfig(), tmp_path / "f.csv")
    rows.to_parquet(tmp_path / "f.parquet")
    with pytest.raises(InputError, match="holds no features"):
        read_features(tmp_path / "f.parquet")


def test_a_query_of_a_part_says_that_it_has_no_effect_on_all_videos(tmp_path, caplog) -> None:
    manifest = tmp_path / "videos.csv"
    manifest.write_text("path,group,view\na.mp4,g,1\nb.mp4,h,1\n")
    data = dataclasses.replace(DATA, manifest=str(manifest), split="", test_query="group == 'h'")
    assert len(rows_to_extract(data, "test")) == 1
    assert not caplog.messages
    assert len(rows_to_extract(data, "all")) == 2
    assert caplog.messages == [
        "data.test_query (group == 'h') has no effect on all videos; --part test takes those alone"
    ]
