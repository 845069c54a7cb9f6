"""What evidence says and what it must not say."""

import pytest

from imagekit.verify.evidence import Lock, classify_password, escape, name_hash_scheme, read_public_key


@pytest.mark.parametrize(
    ("field", "lock"),
    [
        ("", Lock.EMPTY),
        ("*", Lock.LOCKED),
        ("!", Lock.LOCKED),
        ("!!", Lock.LOCKED),
        ("!*", Lock.LOCKED),
        ("!unprovisioned", Lock.LOCKED),
        ("$y$j9T$saltsaltsalt$hashhashhash", Lock.USABLE),
        ("$2b$10$abcdefghijklmnopqrstuv", Lock.USABLE),
        ("ab1cdefghijkl", Lock.USABLE),
        ("!$6$salt$hash", Lock.LOCKED_HASH),
        ("!!$6$salt$hash", Lock.LOCKED_HASH),
        ("*LK*", Lock.LOCKED),
        ("plain", Lock.UNKNOWN),
    ],
)
def test_password_fields(field: str, lock: Lock) -> None:
    """Each form of a password field means what shadow(5) and crypt(5) say."""
    assert classify_password(field) is lock


def test_scheme_is_all_that_is_told() -> None:
    """The method of a hash is named, nothing else of it."""
    assert name_hash_scheme("$y$j9T$salt$hash") == "yescrypt"


def test_public_key_is_told_by_fingerprint() -> None:
    """Options before the key are skipped; type, fingerprint and comment remain."""
    key = read_public_key('command="x y",no-pty ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGJ1aWxkZXI= root@build me')
    assert key is not None
    assert (key.type, key.comment) == ("ssh-ed25519", "root@build me")
    assert key.fingerprint.startswith("SHA256:")
    assert read_public_key("no key here") is None


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain äö", "plain äö"),
        ("\x1b[2J", "\\x1b[2J"),
        ("a\nb\tc", "a\\x0ab\\x09c"),
        ("\u202eexe", "\\u202eexe"),
        ("\udcff", "\\xff"),
        ("\x9b", "\\x9b"),
        ("\U000e0041", "\\U000e0041"),
    ],
)
def test_escape(text: str, shown: str) -> None:
    """Whatever could steer a terminal or a reader is written as an escape."""
    assert escape(text) == shown


def test_escape_cuts_long_text() -> None:
    """A text without end does not fill the report."""
    assert len(escape("x" * 10_000)) == 301
