"""Changed bytes in files that say of themselves whether they are whole."""

import pytest

from mv2mae.seals import SEAL, DamagedError, check_seal, seal


@pytest.fixture
def sealed(tmp_path):
    file = tmp_path / "file"
    file.write_bytes(b"before " + SEAL.encode() + b" after")
    seal(file)
    return file


def test_every_changed_byte_is_noticed(sealed):
    content = sealed.read_bytes()
    assert check_seal(sealed)
    assert b"0" * 20 not in content
    for place in range(len(content)):
        changed = bytearray(content)
        changed[place] ^= 1
        sealed.write_bytes(changed)
        if place in range(7, 21):
            assert not check_seal(sealed)  # the mark itself: it is a file without a seal
        else:
            with pytest.raises(DamagedError, match="its bytes are not those that were written"):
                check_seal(sealed)


def test_lost_and_added_bytes_are_noticed(sealed):
    content = sealed.read_bytes()
    for changed in (content[:-1], content + b"\0", content[1:]):
        sealed.write_bytes(changed)
        with pytest.raises(DamagedError):
            check_seal(sealed)


@pytest.mark.parametrize("content", [b"", b"no mark in it"])
def test_files_of_earlier_versions_have_no_seal(tmp_path, content):
    (tmp_path / "old").write_bytes(content)
    assert not check_seal(tmp_path / "old")
