"""Places that cannot be written are told in one line, before the work."""

import pytest

from mv2mae.cli import main
from mv2mae.data.manifest import read_manifest

COMMANDS = {
    "index": ["folder", "videos", "--pattern", "{group}/{view}.mp4", "--out", "{out}/m.csv"],
    "check": ["sample", "--out", "{out}/c.json"],
    "prepare": ["sample", "{out}"],
    "join": ["sample", "videos/m.csv", "--out", "{out}/m.csv"],
    "sync": ["sample", "--out", "{out}/m.csv"],
    "synth": ["{out}", "--num_groups", "2"],
    "extract": ["synthetic-small", "--data", "sample", "--out", "{out}/f.parquet"],
    "export": ["synthetic-small", "--format", "torch", "--out", "{out}"],
    "geometry": ["second-view", "--out", "{out}"],
    "second-view": ["second-view", "--out", "{out}"],
    "report": ["videos", "--out", "{out}/r.html"],
}


@pytest.mark.parametrize("verb", COMMANDS)
def test_an_output_that_cannot_be_written_is_one_line(verb, tmp_path, monkeypatch, capsys, filmed):
    monkeypatch.chdir(tmp_path)
    if verb in ("index", "prepare", "extract"):  # those that draw make Matplotlib look for fonts anew, for seconds
        monkeypatch.setenv("HOME", "/proc/no-home")
    (tmp_path / "videos").symlink_to(filmed)
    (tmp_path / "file").write_bytes(b"")  # where a folder should be: root, too, cannot write below it
    assert main([verb, *(word.replace("{out}", "file/out") for word in COMMANDS[verb])]) == 1
    said = capsys.readouterr().err.strip().splitlines()
    assert said[-1].startswith(f"mv2mae {verb}: error: ")
    assert "file/out" in said[-1]
    assert "Errno" not in said[-1]
    assert (tmp_path / "file").read_bytes() == b""


@pytest.fixture(scope="module")
def filmed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("videos")
    (folder / "g").mkdir()
    sample = next(iter(read_manifest("sample")["path"]))
    (folder / "g" / "1.mp4").symlink_to(sample)
    (folder / "m.csv").write_text("path,group,view\ng/1.mp4,g,1\n")
    return folder
