"""The kept log: masked, private, and written while the other one grows."""

import errno
import os
import stat
from pathlib import Path

import pytest

from imagekit.build.packer.log import GrowingFile, MaskedLog
from imagekit.build.packer.mask import Masker


def test_log_follows_and_masks(tmp_path: Path) -> None:
    """What was written so far is in the kept log, masked, also when a secret came in two parts and UTF-8 was cut."""
    source, target = tmp_path / "raw", tmp_path / "logs" / "kept"
    log = MaskedLog(source, target, Masker(["canarySecret"]))
    log.pump()
    with source.open("wb", buffering=0) as file:
        file.write("first ä\nsecond canary".encode())
        log.pump()
        assert target.read_text() == "first ä\n"
        file.write("Secret ü".encode()[:-1])
        log.pump()
        assert target.read_text() == "first ä\n"
        file.write("ü".encode()[-1:] + b"\n")
        log.pump()
        assert target.read_text() == "first ä\nsecond <masked> ü\n"
        file.write(b"rest canarySecret")
    log.close()
    log.close()
    assert target.read_text() == "first ä\nsecond <masked> ü\nrest <masked>"
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    assert stat.S_IMODE(target.parent.stat().st_mode) == 0o700


def test_link_is_not_followed(tmp_path: Path) -> None:
    """A link where the log shall be is an error, and what it points at is not written."""
    (tmp_path / "link").symlink_to(tmp_path / "other")
    with pytest.raises(OSError, match=os.strerror(errno.ELOOP)):
        MaskedLog(tmp_path / "raw", tmp_path / "link", Masker())
    assert not (tmp_path / "other").exists()


def test_full_disk_is_a_problem_and_no_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The build goes on without its log when there is no room for one."""
    (tmp_path / "raw").write_text("text\n")
    log = MaskedLog(tmp_path / "raw", tmp_path / "kept", Masker())

    def refuse(descriptor: int, data: bytes) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr("imagekit.build.packer.log.os.write", refuse)
        log.pump()
    log.close()
    assert "No space left" in log.problem


def test_huge_log_is_cut(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A log over the limit keeps its beginning and says so."""
    monkeypatch.setattr("imagekit.build.packer.log._LARGEST", 1000)
    (tmp_path / "raw").write_text("line\n" * 1000)
    log = MaskedLog(tmp_path / "raw", tmp_path / "kept", Masker())
    log.close()
    assert (tmp_path / "kept").stat().st_size == 1000
    assert "cut" in log.problem


def test_growing_file_gives_each_byte_once(tmp_path: Path) -> None:
    """A file that is not there is empty; later each byte comes once."""
    growing = GrowingFile(tmp_path / "file")
    assert growing.read() == b""
    (tmp_path / "file").write_bytes(b"one")
    assert growing.read() == b"one"
    with (tmp_path / "file").open("ab") as file:
        file.write(b"two")
    assert growing.read() == b"two"
    assert growing.read() == b""
