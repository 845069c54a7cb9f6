"""The key of a machine that moves is told as ssh-keygen tells it."""

from pathlib import Path

import pytest

from imagekit.host import run
from imagekit.pipeline.deploy import format_fingerprint


def test_fingerprint_is_that_of_ssh_keygen(tmp_path: Path) -> None:
    """The same key gives the same words."""
    key = tmp_path / "key"
    run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)])
    said = run(["ssh-keygen", "-l", "-f", str(key)]).output.decode().split()[1]
    assert format_fingerprint(key.with_suffix(".pub").read_bytes()) == said


@pytest.mark.parametrize("line", [b"", b"ssh-ed25519", b"ssh-ed25519 \xff\xfe", b"ssh-ed25519 A"])
def test_what_is_no_key_has_none(line: bytes) -> None:
    """Then the usual rules for unknown hosts count."""
    assert format_fingerprint(line) == ""
