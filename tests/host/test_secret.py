"""Secrets: fetched when needed, once, and in nothing that anybody prints."""

import copy
import dataclasses
import logging
import os
import pickle
import threading
import traceback
from collections.abc import Callable
from pathlib import Path

import pytest

from imagekit.errors import ExitCode, ImagekitError, SettingsInvalid, ToolFailed, ToolMissing
from imagekit.host.secret import LONGEST_BYTES, Secret, is_reference, require_private

CANARY = "c0ffee00-feed-4bad-8bad-canary000001"
REFERENCE = "op://homelab/proxmox/token secret"

FakeOp = Callable[[str], Path]


@pytest.fixture
def fake_op(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeOp:
    """Return a function that puts a program ``op`` first on PATH, made of lines of shell; it notes each call."""

    def write(lines: str) -> Path:
        calls, program = tmp_path / "calls", tmp_path / "bin" / "op"
        program.parent.mkdir(exist_ok=True)
        program.write_text(f'#!/bin/sh\necho "$#:$1:$2:$3:${{OP_ACCOUNT-}}:${{PROXMOX_URL-}}" >> {calls}\n{lines}\n')
        program.chmod(0o755)
        monkeypatch.setenv("PATH", f"{program.parent}{os.pathsep}{os.environ['PATH']}")
        return calls

    return write


def _write(path: Path, data: bytes, mode: int = 0o600) -> Path:
    path.write_bytes(data)
    path.chmod(mode)
    return path


def _fail(secret: Secret) -> ImagekitError:
    """Return the error of revealing, after a look for the canary in everything that hangs on it."""
    with pytest.raises(ImagekitError) as caught:
        secret.reveal()
    told, seen = "".join(traceback.format_exception(caught.value)), [caught.value]
    while chained := seen[-1].__cause__ or seen[-1].__context__:
        told += repr(vars(chained)) + repr(chained.args)
        seen.append(chained)  # type: ignore[arg-type] # whatever was raised before
    assert CANARY not in told
    return caught.value


def test_value_is_revealed_and_never_shown(caplog: pytest.LogCaptureFixture) -> None:
    """A secret is in no repr, no format, no log record, no attribute table and no dataclass around it."""

    @dataclasses.dataclass(frozen=True)
    class Access:
        secret: Secret

    secret = Secret.from_text("PROXMOX_TOKEN", CANARY)
    assert secret.reveal() == CANARY
    logging.getLogger("test").warning("%s %r", secret, secret)
    shown = [repr(secret), str(secret), f"{secret} {secret!r:>40}", "%s" % secret, repr([secret]), caplog.text]  # noqa: UP031
    shown += [repr(Access(secret)), repr(dataclasses.asdict(Access(secret)))]
    assert all(CANARY not in text and "Secret(from PROXMOX_TOKEN)" in text for text in shown)
    assert not hasattr(secret, "__dict__")


def test_secret_cannot_be_pickled() -> None:
    """A secret never becomes bytes, and a copy of it is the same one."""
    secret = Secret.from_text("PROXMOX_TOKEN", CANARY)
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        with pytest.raises(TypeError, match=r"Secret\(from PROXMOX_TOKEN\) cannot be pickled"):
            pickle.dumps(secret, protocol)
    assert copy.copy(secret) is secret
    assert copy.deepcopy([secret])[0] is secret


def test_threads_cause_one_fetch() -> None:
    """Whoever asks while a secret is being fetched waits for that fetch, and nobody fetches again."""
    calls, gate, got = [], threading.Event(), []

    def fetch() -> str:
        calls.append(1)
        assert gate.wait(10)
        return CANARY

    secret = Secret("a test", fetch)
    threads = [threading.Thread(target=lambda: got.append(secret.reveal())) for _ in range(8)]
    for thread in threads:
        thread.start()
    gate.set()
    for thread in threads:
        thread.join(10)
    assert got == [CANARY] * 8
    assert len(calls) == 1


def test_failed_fetch_is_tried_again(tmp_path: Path) -> None:
    """A file that was missing once is read when it is there."""
    secret = Secret.from_file("PROXMOX_TOKEN_FILE", tmp_path / "token")
    assert "No such file" in _fail(secret).message
    _write(tmp_path / "token", CANARY.encode())
    assert secret.reveal() == CANARY


@pytest.mark.parametrize("end", [b"", b"\n", b"\r\n"])
@pytest.mark.parametrize("mode", [0o400, 0o600, 0o640])
def test_secret_in_a_file(tmp_path: Path, end: bytes, mode: int) -> None:
    """A file of one line gives that line; its owner may read it, and a group."""
    path = _write(tmp_path / "token", CANARY.encode() + end, mode)
    assert Secret.from_file("PROXMOX_TOKEN_FILE", path).reveal() == CANARY


@pytest.mark.parametrize("mode", [0o604, 0o644, 0o666, 0o602])
def test_file_that_everybody_can_read(tmp_path: Path, mode: int) -> None:
    """A secret that anybody on the machine could have read is refused with the command that helps."""
    path = _write(tmp_path / "token", CANARY.encode(), mode)
    problem = _fail(Secret.from_file("PROXMOX_TOKEN_FILE", path))
    assert problem.exit_code is ExitCode.DEFINITION
    assert f"run chmod 600 {path}" in problem.message
    with pytest.raises(SettingsInvalid, match="chmod 600"):
        require_private(path)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "is empty"),
        (b"\n", "is empty"),
        (f"{CANARY}\n{CANARY}\n".encode(), "is not one line"),
        (f" {CANARY}".encode(), "is not one line"),
        (f"{CANARY}\r\nX-Header: 1".encode(), "is not one line"),
        (CANARY.encode() + b"\xff\xfe", "is not one line of plain ASCII"),
        (CANARY.encode() * (LONGEST_BYTES // 8), "is longer than 16 KiB"),
    ],
)
def test_file_without_a_usable_secret(tmp_path: Path, data: bytes, said: str) -> None:
    """What could not stand in one line of a request is refused, and nothing of it is shown."""
    problem = _fail(Secret.from_file("PROXMOX_TOKEN_FILE", _write(tmp_path / "token", data)))
    assert said in problem.message
    assert "PROXMOX_TOKEN_FILE" in problem.message


def test_what_is_no_file(tmp_path: Path) -> None:
    """A directory, a named pipe and a name with a zero byte are refused at once, not waited for."""
    os.mkfifo(tmp_path / "pipe", 0o600)
    for path in (tmp_path, tmp_path / "pipe"):
        assert "is not a regular file" in _fail(Secret.from_file("x", path)).message
    assert "cannot be a file's name" in _fail(Secret.from_file("x", Path("a\0b"))).message


@pytest.mark.parametrize("text", ["", " ", f"{CANARY}\n", f"{CANARY}\u00e9"])
def test_value_that_cannot_be_used(text: str) -> None:
    """A literal secret with a line end, a blank around it or other letters is refused when it is given."""
    with pytest.raises(SettingsInvalid, match="the secret of PROXMOX_TOKEN") as caught:
        Secret.from_text("PROXMOX_TOKEN", text)
    assert CANARY not in repr(caught.value)


def test_reference_is_fetched_lazily_and_once(fake_op: FakeOp, monkeypatch: pytest.MonkeyPatch) -> None:
    """1Password is asked on first use, once, for exactly this reference, with the operator's account and no more."""
    calls = fake_op(f"printf %s {CANARY}")
    monkeypatch.setenv("OP_ACCOUNT", "me.example")
    monkeypatch.setenv("PROXMOX_URL", "https://pve.example")
    secret = Secret.from_text("PROXMOX_TOKEN", REFERENCE)
    assert not calls.exists()
    assert (secret.reveal(), secret.reveal()) == (CANARY, CANARY)
    assert calls.read_text() == f"3:read:--no-newline:{REFERENCE}:me.example:\n"
    assert CANARY not in repr(secret)


def test_reference_that_cannot_be_read(fake_op: FakeOp) -> None:
    """What op says about a failure is shown; what it had written to its output by then is not."""
    fake_op(f"printf %s {CANARY}; echo 'isn'\\''t an item' >&2; exit 1")
    problem = _fail(Secret.from_text("PROXMOX_TOKEN", REFERENCE))
    assert isinstance(problem, ToolFailed)
    assert problem.detail == "isn't an item"
    assert "PROXMOX_TOKEN" in problem.message


def test_reference_without_op(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Where 1Password's tool is missing, that is said with its package, and the exit code is 9."""
    monkeypatch.setenv("PATH", str(tmp_path))
    problem = _fail(Secret.from_text("settings.toml:3", REFERENCE))
    assert isinstance(problem, ToolMissing)
    assert problem.message == "op is not installed, and settings.toml:3 refers to 1Password"
    assert "1password-cli" in (problem.hint or "")


@pytest.mark.parametrize("text", ["op://", "op://vault/item", "op://v/i/s/f/x", "OP://a//b", "op://a/b/c\n"])
def test_broken_reference(text: str) -> None:
    """A reference without its parts is refused when it is given, not when it is needed."""
    assert is_reference(text)
    with pytest.raises(SettingsInvalid, match="is not a whole reference"):
        Secret.from_text("PROXMOX_TOKEN", text)
