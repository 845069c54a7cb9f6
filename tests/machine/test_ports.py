"""Ports, alone and against others."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from imagekit.errors import HostFailed
from imagekit.host import run
from imagekit.machine import ports
from imagekit.machine.ports import is_free, reserve_port


@contextmanager
def _listening() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def test_port_is_held_until_the_block_ends(tmp_path: Path) -> None:
    """Two reservations at one time get two ports; afterwards the first is free again."""
    with reserve_port(tmp_path, lambda: ()) as first, reserve_port(tmp_path, lambda: ()) as second:
        assert first != second
    with reserve_port(tmp_path, lambda: ()) as again:
        assert again == first


def test_port_of_a_stopped_clone_is_not_given_away(tmp_path: Path) -> None:
    """A recorded port is skipped although nobody listens on it, unless its owner asks for it."""
    with reserve_port(tmp_path, lambda: ()) as first:
        pass
    with reserve_port(tmp_path, lambda: {first}) as other:
        assert other != first
    with reserve_port(tmp_path, lambda: {first}, wanted=first) as own:
        assert own == first


def test_port_with_a_listener_is_taken() -> None:
    """Somebody else's server is seen."""
    with _listening() as port:
        assert not is_free(port)


def test_other_process_gets_another_port(tmp_path: Path) -> None:
    """The hold is seen by other processes, not only by this one."""
    import sys

    script = (
        "import sys, pathlib\nfrom imagekit.machine.ports import reserve_port\n"
        "with reserve_port(pathlib.Path(sys.argv[1]), lambda: ()) as port: print(port)"
    )
    with reserve_port(tmp_path, lambda: ()) as mine:
        said = run([sys.executable, "-c", script, str(tmp_path)], timeout=20)
    assert int(said.output) != mine


def test_no_port_left_is_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When every port is promised the error says so instead of looking for ever."""
    monkeypatch.setattr(ports, "_PORTS", range(22022, 22025))
    with pytest.raises(HostFailed, match="every port"), reserve_port(tmp_path, lambda: range(22022, 22025)):
        pass
