"""Files to and from another machine: continued after a loss, and never more than was promised."""

import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from imagekit.errors import HostFailed
from imagekit.host import openssh_transfer
from imagekit.host.openssh import OpenSshHost, open_openssh
from imagekit.host.openssh_failure import ConnectionLost
from tests.host.openssh_machines import await_that
from tests.sshd import ALIAS, Sshd, start_sshd


def test_lost_fetch_is_continued(
    server: Sshd, host: OpenSshHost, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file whose connection is lost twice on the way arrives whole, and not one byte twice."""
    monkeypatch.setattr(openssh_transfer, "_PAUSES", (0.1,))
    file = tmp_path / "image"
    data = os.urandom(1 << 20) * 40
    file.write_bytes(data)
    heard: list[int] = []
    drops = [5 << 20, 20 << 20]

    def hear(done: int) -> None:
        heard.append(done)
        if drops and done > drops[0]:
            drops.pop(0)
            server.drop_connections()

    found = host.fetch_file(str(file), tmp_path / "here", size=len(data), on_bytes=hear)
    assert drops == []
    assert found.read_bytes() == data
    assert heard == sorted(set(heard))


def test_fetch_gives_up_when_the_machine_stays_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After the last pause without progress the loss is told, and what came stays for the next run."""
    monkeypatch.setattr(openssh_transfer, "_PAUSES", (0.1, 0.1))
    file = tmp_path / "image"
    file.write_bytes(os.urandom(20 << 20))
    with start_sshd(tmp_path / "sshd") as server, open_openssh(ALIAS, config=server.config) as host:
        gone: list[int] = []

        def hear(done: int) -> None:
            if not gone:
                gone.append(done)
                server.stop()

        with pytest.raises(ConnectionLost, match="no SSH server answers"):
            host.fetch_file(str(file), tmp_path / "here", size=20 << 20, on_bytes=hear)
    kept = (tmp_path / "here").read_bytes()
    assert kept
    assert file.read_bytes().startswith(kept)


def test_fetch_starts_from_what_is_here(host: OpenSshHost, tmp_path: Path) -> None:
    """A part is continued by its length, a whole file is not asked for again, a longer one is started anew."""
    file, here = tmp_path / "image", tmp_path / "here"
    file.write_bytes(b"0123456789")
    for part, result in ((b"", b"0123456789"), (b"abc", b"abc3456789"), (b"abcdefghij", b"abcdefghij"),
                         (b"abcdefghijk", b"0123456789")):  # fmt: skip
        here.write_bytes(part)
        heard: list[int] = []
        assert host.fetch_file(str(file), here, size=10, on_bytes=heard.append).read_bytes() == result
        assert heard[-1] == 10


def test_fetch_to_a_full_disk_is_told(host: OpenSshHost, tmp_path: Path) -> None:
    """A destination that cannot be written is told with its name."""
    (tmp_path / "image").write_bytes(b"x" * 10)
    with pytest.raises(HostFailed, match="/dev/full cannot be written: No space left"):
        host.fetch_file(str(tmp_path / "image"), Path("/dev/full"), size=10)


def test_lost_put_is_told(server: Sshd, host: OpenSshHost, tmp_path: Path) -> None:
    """A tree that does not arrive whole is an error."""
    source = tmp_path / "source"
    source.mkdir()
    with (source / "large").open("wb") as file:
        file.truncate(1 << 30)
    there = host.make_directory()
    threading.Thread(
        target=lambda: await_that((Path(there) / "large").exists) and server.drop_connections()
    ).start()  # fmt: skip
    with pytest.raises(ConnectionLost):
        host.put_tree(source, there)
    host.remove_directory(there)


def test_fetch_never_writes_more_than_was_promised(hostile: Callable[[str, str], OpenSshHost], tmp_path: Path) -> None:
    """A machine that sends more than the size it told is cut off there."""
    (tmp_path / "image").write_bytes(b"x" * 1000)
    host = hostile("tail", "exec cat /dev/zero")
    with pytest.raises(HostFailed, match="sent more"):
        host.fetch_file(str(tmp_path / "image"), tmp_path / "here", size=1000)
    assert (tmp_path / "here").stat().st_size <= 1000


def test_fetch_of_a_file_that_ends_early_is_told(hostile: Callable[[str, str], OpenSshHost], tmp_path: Path) -> None:
    """A file that is cut while it is sent is an error, with what the other side said."""
    (tmp_path / "image").write_bytes(b"x" * 1000)
    host = hostile("tail", "printf abc; echo 'disk broken' >&2; exit 1")
    with pytest.raises(HostFailed, match="ended after 3 of 1000 bytes") as caught:
        host.fetch_file(str(tmp_path / "image"), tmp_path / "here", size=1000)
    assert caught.value.hint == "disk broken"
