"""The child process of the C libraries: what it may not do, and that nothing it does is taken for an answer."""

import importlib.util
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest

from imagekit.disk.child import libyal_child
from imagekit.disk.child.library import INSTALL, MEMORY_BYTES, Library, LibraryFailed, LibraryMissing
from imagekit.disk.window import Readable
from imagekit.errors import ImageDamaged

Memory = Callable[[bytes], Readable]

# What every stand-in for the child has: the real protocol, and the real limits.
_HEAD = f"""
import os, sys, time
sys.path.insert(0, {str(Path(libyal_child.__file__).parent)!r})
from libyal_child import Parent, LENGTHS, limit_process
limit_process(int(sys.argv[3]), int(sys.argv[4]))
parent = Parent(sys.stdin.buffer, sys.stdout.buffer)
parent.receive(); parent.send({{"done": True}})
"""


@pytest.fixture
def ask(tmp_path: Path, memory: Memory) -> Callable[..., tuple[object, bytes]]:
    """Return a function that asks one question of a child whose program ends with the given lines."""

    def ask_child(lines: str, *, seconds: float = 5.0, most: int = 1000) -> tuple[object, bytes]:
        program = tmp_path / "program.py"
        program.write_text(_HEAD + lines)
        source = memory(bytes(range(256)) * 16)
        with Library("pyfsxfs", source, "the disk", program=program, cpu_seconds=1, request_seconds=seconds) as library:
            try:
                return library.ask("anything", most=most)
            finally:  # whatever it was, the next question ends soon too
                with pytest.raises((LibraryFailed, ImageDamaged)):
                    library.ask("anything")

    return ask_child


def test_an_honest_child_is_answered(ask: Callable[..., tuple[object, bytes]]) -> None:
    """The child gets the ranges it asks for, and its answer arrives."""
    program = (
        'parent.receive(); parent.send({"read": [16, 4]}); data = parent.receive()[1]; parent.send({"done": 7}, data)'
    )
    assert ask(f"{program}\nparent.receive()") == (7, bytes((16, 17, 18, 19)))


def test_the_child_has_nothing_but_its_pipes(ask: Callable[..., tuple[object, bytes]]) -> None:
    """The child has three descriptors, none of them the image's, and limits that it cannot raise again."""
    program = """
import resource
parent.receive()
names = ("RLIMIT_AS", "RLIMIT_CPU", "RLIMIT_FSIZE", "RLIMIT_NOFILE", "RLIMIT_CORE")
limits = [resource.getrlimit(getattr(resource, name)) for name in names]
links = [os.readlink(f"/proc/self/fd/{number}").split(":")[0] for number in range(3)]
parent.send({"done": [limits, links, len(os.listdir("/proc/self/fd"))]})
parent.receive()
"""
    (limits, links, count), _ = cast("tuple[list[Any], bytes]", ask(program))
    assert limits == [[MEMORY_BYTES] * 2, [1, 1], [0, 0], [16, 16], [0, 0]]
    assert links[:2] == ["pipe", "pipe"]
    assert count == 4  # the fourth is the listing's own


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ("parent.receive(); os.abort()", "killed by SIGABRT"),
        ("parent.receive(); os._exit(3)", "ended with status 3"),
        ("parent.receive(); time.sleep(60)", "did not answer in time"),
        ("parent.receive()\nx = bytearray(2 << 30)", "ended with status 1"),
        ("parent.receive()\nos.write(os.open(sys.argv[0] + '.x', 0o101), b'x')", "ended with status 1"),
        ("parent.receive()\nfor n in range(100): os.dup(0)", "ended with status 1"),
        ("parent.receive(); parent.send({'done': 1}, bytes(1001))", "announced"),
        ("parent.receive(); os.write(1, LENGTHS.pack(1 << 31, 0))", "announced"),
        ("parent.receive(); os.write(1, LENGTHS.pack(0, 1 << 31))", "announced"),
        ("parent.receive(); os.write(1, LENGTHS.pack(3, 0) + b'not')", "no message"),
        ("parent.receive(); os.write(1, LENGTHS.pack(2, 0) + b'[]')", "no message"),
        ("parent.receive(); os.write(1, LENGTHS.pack(16000, 0) + b'[' * 16000)", "no message"),
        ("parent.receive(); parent.send({'something': 'else'})", "something else"),
        ("parent.receive(); parent.send({'read': [0, 1 << 40]})", "more than it may"),
        ("parent.receive(); parent.send({'read': [-1, 1]})", "more than it may"),
        ("parent.receive(); parent.send({'read': '/etc/shadow'})", "more than it may"),
        ("parent.receive()\nwhile True: parent.send({'read': [0, 4096]}); parent.receive()", "in time|SIG(XCPU|KILL)"),
        ("parent.receive()\nwhile True: os.write(1, bytes(65536))", "no message"),
        ("parent.receive(); parent.send({'failed': 'declined'}); parent.receive(); os.abort()", "declined"),
        ("parent.receive(); parent.send({'failed': ['declined']}); parent.receive(); os.abort()", "does not tell"),
    ],
)
def test_a_child_that_misbehaves_is_no_answer(lines: str, said: str, ask: Callable[..., tuple[object, bytes]]) -> None:
    """A child that crashes, hangs, floods, lies or meets a limit gives an error with the reason, soon."""
    begun = time.monotonic()
    with pytest.raises(LibraryFailed, match=said):
        ask(lines, seconds=2.5)
    assert time.monotonic() - begun < 8


def test_a_busy_child_meets_the_limit_of_the_processor(ask: Callable[..., tuple[object, bytes]]) -> None:
    """A child that computes for ever is ended by its own limit when the clock would give it longer."""
    with pytest.raises(LibraryFailed, match=r"killed by SIG(XCPU|KILL)"):
        ask("parent.receive()\nwhile True: pass", seconds=60)


def test_a_range_outside_is_damage(ask: Callable[..., tuple[object, bytes]]) -> None:
    """A library that follows a number out of the image meets the image's end, not other bytes."""
    with pytest.raises(ImageDamaged, match="outside"):
        ask("parent.receive(); parent.send({'read': [4096, 1]}); parent.receive()")


def test_missing_library_says_how_to_get_it(memory: Memory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the optional package there is a sentence with the command, every time it is asked."""
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with Library("pyfsxfs", memory(bytes(512)), "the XFS filesystem") as library:
        for _ in range(2):
            with pytest.raises(LibraryMissing, match="libfsxfs-python, which is not installed") as caught:
                library.ask("root")
            assert caught.value.hint == INSTALL == "pip install 'imagekit-homelab[formats]'"


def test_refusal_to_open_is_final(memory: Memory) -> None:
    """What the real library does not open is an error with the library's own words, and stays one."""
    with Library("pyvhdi", memory(bytes(1 << 20)), "the disk") as library:
        for _ in range(2):
            with pytest.raises(LibraryFailed, match="cannot be read: OSError: pyvhdi_file_open_file_object"):
                library.ask("size")


def test_closed_library_answers_nothing(memory: Memory) -> None:
    """After the block nothing is started again."""
    library = Library("pyvhdi", memory(bytes(1 << 20)), "the disk")
    library.close()
    library.close()
    with pytest.raises(LibraryFailed, match="was closed"):
        library.ask("size")


def test_remote_file_reads_as_a_file_does() -> None:
    """Seeking and reading over pieces gives what a file gives, with one request for each piece."""
    data = bytes(range(251)) * 3000
    asked: list[list[int]] = []

    class Stub(libyal_child.Parent):
        def __init__(self) -> None:
            pass

        def send(self, header: dict[str, object], body: bytes = b"") -> None:
            range_ = header["read"]
            assert isinstance(range_, list)
            asked.append(range_)

        def receive(self) -> tuple[dict[str, object], bytes] | None:
            offset, length = asked[-1]
            return {"done": True}, data[offset : offset + length]

    file = libyal_child.RemoteFile(Stub(), len(data))
    assert file.get_size() == file.seek(0, 2) == len(data)
    assert file.read(1) == b""
    file.seek(130_000)
    assert file.read(300_000) == data[130_000:430_000]
    assert file.tell() == 430_000
    file.seek(-10, 2)
    assert file.read() == data[-10:]
    file.seek(0)
    assert file.read() == data
    assert len(asked) == len({tuple(each) for each in asked}) == -(-len(data) // (128 << 10))
