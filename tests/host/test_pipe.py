"""A child that is talked to: it answers, and silence, death and a full pipe are told in time."""

import sys
import time
from pathlib import Path

import pytest

from imagekit.errors import ToolFailed
from imagekit.host.pipe import PipedProcess

ECHO = """
import sys
while data := sys.stdin.buffer.read1(65536):
    sys.stdout.buffer.write(data)
    sys.stdout.flush()
"""


def start(program: str) -> PipedProcess:
    """Start a Python program."""
    return PipedProcess([sys.executable, "-I", "-S", "-c", program])


def soon(seconds: float = 5.0) -> float:
    """Return a deadline."""
    return time.monotonic() + seconds


def test_it_answers_again_and_again() -> None:
    """What is sent comes back, more than a pipe holds too, and the child is gone after the block."""
    with start(ECHO) as process:
        for data in (b"one", b"x" * 60_000, b"two"):
            process.send(data, soon())
            assert process.receive(len(data), soon()) == data
        pid = process._running.pid
    assert not Path(f"/proc/{pid}").exists()
    process.close()


def test_silence_ends_with_the_deadline() -> None:
    """A child that says nothing, or a little now and then, costs no more than the time it was given."""
    for program in (
        "import time\ntime.sleep(60)",
        "import sys, time\nwhile True:\n    sys.stdout.write('x'); sys.stdout.flush(); time.sleep(0.01)",
    ):
        with start(program) as process:
            begun = time.monotonic()
            with pytest.raises(ToolFailed, match="in time"):
                process.receive(1 << 20, soon(0.3))
            assert time.monotonic() - begun < 2


def test_a_child_that_does_not_listen_ends_with_the_deadline() -> None:
    """Sending more than the pipe holds to a child that never reads raises."""
    with start("import time\ntime.sleep(60)") as process, pytest.raises(ToolFailed, match="in time"):
        process.send(bytes(1 << 20), soon(0.3))


@pytest.mark.parametrize(
    ("program", "said"),
    [
        ("import os\nos.abort()", "was killed by SIGABRT"),
        ("import os\nos.kill(os.getpid(), 11)", "was killed by SIGSEGV"),
        ("raise ValueError('what went wrong')", "ended with status 1"),
        ("pass", "ended with status 0"),
        ("import os, time\nos.close(1)\ntime.sleep(60)", "closed its output"),
    ],
)
def test_the_end_of_a_child_is_told(program: str, said: str) -> None:
    """How a child ended is in the message, and the end of what it said beside it."""
    with start(program) as process, pytest.raises(ToolFailed, match=said) as caught:
        process.receive(1, soon())
    assert "ValueError" not in program or "what went wrong" in caught.value.detail


def test_sending_to_a_dead_child_tells_its_end() -> None:
    """A broken pipe is the child's end, not an error of ours."""
    with start("import os\nos.abort()") as process:
        with pytest.raises(ToolFailed, match="SIGABRT"):
            process.receive(1, soon())
        with pytest.raises(ToolFailed, match="SIGABRT"):
            process.send(b"more", soon())
