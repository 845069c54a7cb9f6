"""What the tests of definitions share: a key, a secret that no message may show, and how a text is refused."""

import base64
from collections.abc import Callable

SECRET = "b3BlbnNzaC1rZXktdjEAAAAA"
BLOB = base64.b64encode(b"\0\0\0\x0bssh-ed25519\0\0\0\x20" + bytes(range(32))).decode()
KEY = f"ssh-ed25519 {BLOB} me@here"

Refuse = Callable[[str], list[str]]
"""Reads the text of an ``imagekit.toml`` that must be refused and returns the problems."""
