"""Matplotlib's list of fonts has a place where the home folder has none."""

import os
import tempfile
from pathlib import Path

import pytest

from mv2mae.cli.fonts import keep_fonts


@pytest.fixture(autouse=True)
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("XDG_CONFIG_HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("MPLCONFIGDIR", "")  # so that it is put back afterwards
    monkeypatch.delenv("MPLCONFIGDIR")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))


def test_a_home_that_cannot_be_written_gets_a_folder_that_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_bytes(b"")
    monkeypatch.setenv("HOME", str(tmp_path / "file" / "home"))  # root, too, cannot write below a file
    keep_fonts()
    folder = Path(os.environ["MPLCONFIGDIR"])
    assert (folder.parent, folder.stat().st_mode & 0o777) == (tmp_path, 0o700)
    monkeypatch.delenv("MPLCONFIGDIR")
    keep_fonts()
    assert Path(os.environ["MPLCONFIGDIR"]) == folder


def test_a_link_of_somebody_elses_is_not_followed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_bytes(b"")
    monkeypatch.setenv("HOME", str(tmp_path / "file" / "home"))
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / f"mv2mae-matplotlib-{os.getuid()}").symlink_to(tmp_path / "elsewhere")
    keep_fonts()
    assert "MPLCONFIGDIR" not in os.environ


def test_a_home_that_can_be_written_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    keep_fonts()
    assert "MPLCONFIGDIR" not in os.environ
