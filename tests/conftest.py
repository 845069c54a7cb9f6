"""What every test gets: a scrubbed environment, so that nobody's settings or store can be touched."""

import signal
from pathlib import Path

import pytest

# A shell's background jobs ignore Ctrl-C and those of nohup(1) a hangup, and so would all that the tests interrupt.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


@pytest.fixture(autouse=True)
def scrubbed_environment(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Point every place imagekit keeps things at a temporary directory and forget the operator's variables."""
    import os

    for name in list(os.environ):
        if name.startswith(("IMAGEKIT_", "PROXMOX_", "PACKER_PLUGIN_PATH", "OP_")) and not name.startswith(
            "IMAGEKIT_TEST_"
        ):
            monkeypatch.delenv(name)
    home: Path = tmp_path_factory.mktemp("home")
    for name, place in (
        ("HOME", home),
        ("XDG_DATA_HOME", home / "data"),
        ("XDG_CACHE_HOME", home / "cache"),
        ("XDG_STATE_HOME", home / "state"),
        ("XDG_CONFIG_HOME", home / "config"),
    ):
        monkeypatch.setenv(name, os.fspath(place))
