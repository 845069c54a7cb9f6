"""Every wording of Nix that is known here becomes a sentence; the texts are recorded or looked up, as each says."""

import json
import time
from pathlib import Path
from typing import Any

import pytest

from imagekit.build.nix import failure, failure_rules
from imagekit.build.nix.failure import explain_failure, explain_messages
from imagekit.build.nix.internal_json import NixLog
from imagekit.build.nix.tool import find_nix, make_build_command
from imagekit.errors import DefinitionInvalid, HostFailed, ImagekitError, ToolFailed
from imagekit.host.here import ThisMachine
from imagekit.progress import silent
from tests.build.nix.recorded_host import read_recorded
from tests.build.nix.tiny_derivations import make_flake
from tests.nix_store import make_own_store

_TEXTS: list[dict[str, Any]] = json.loads(read_recorded("failures.json"))


@pytest.mark.parametrize("text", _TEXTS, ids=[f"{each['name']}, {each['source']}" for each in _TEXTS])
def test_words_become_a_sentence(text: dict[str, Any]) -> None:
    """A text of Nix's gives the error class, sentence and hint that stand beside it."""
    error = explain_messages(text["errors"], text["log"], 1, "nas")
    assert type(error).__name__ == text["kind"]
    assert error.message == text["says"]
    assert (error.hint or "") == text["hint"]
    assert "\n" not in error.message
    assert "\x1b" not in error.message


def test_every_rule_has_a_text() -> None:
    """No rule is there without a text of Nix's that it is for."""
    for rule in failure_rules.RULES:
        texts = ["\n".join(map(failure._strip, each["errors"])) for each in _TEXTS]
        texts += ["\n".join(each["log"]) for each in _TEXTS if rule.in_log]
        assert any(rule.said.search(text) for text in texts), rule.sentence


def test_assertions_are_listed() -> None:
    """NixOS's failed assertions become problems, a sentence each, without its trace."""
    (text,) = (each for each in _TEXTS if each["name"] == "NixOS assertions, several")
    error = explain_messages(text["errors"], (), 1, "nas")
    assert isinstance(error, DefinitionInvalid)
    assert len(error.problems) == 2
    assert error.problems[0].endswith("You must set one to prevent being locked out of your system.")
    assert error.problems[1] == "imagekit.pihole.address is outside the gateway's network"


def test_detail_is_the_end_of_the_log() -> None:
    """A failed builder's log is shown, its end, and not what Nix says around it."""
    error = explain_messages(
        ["error: builder for '/nix/store/x-a.drv' failed with exit code 1"], [f"line {n}" for n in range(100)], 1, "nas"
    )
    assert isinstance(error, ToolFailed)
    assert error.detail.splitlines() == [f"line {number}" for number in range(75, 100)]


def test_log_alone_tells_of_a_full_disk_only_where_it_may() -> None:
    """What a builder prints counts for space and memory, and for nothing else: it may print any text."""
    failed = ["error: builder for '/nix/store/x-a.drv' failed with exit code 1"]
    assert isinstance(explain_messages(failed, ["tar: No space left on device"], 1, "nas"), HostFailed)
    forged = explain_messages(failed, ["error: interrupted by the user", "lacks a valid signature"], 1, "nas")
    assert forged.message == "x-a could not be built: its builder failed with exit code 1"


def test_unknown_words_are_kept() -> None:
    """What no rule knows is shown as Nix said it, without control characters; a signal is named."""
    error = explain_messages(["error: \x1b[31msomething\x07 new\nhappened"], [], -15, "nas")
    assert error.message == "Nix was killed by signal 15 on nas: something new happened"
    silent_error = explain_messages([], [], 1, "nas", "aarch64-linux")
    assert silent_error.message == "Nix failed with status 1 on nas, building for aarch64-linux"


def test_huge_words_are_cut() -> None:
    """However long a message is, the sentence is not, and nobody waits for it."""
    started = time.monotonic()
    error = explain_messages(["error: The option `" + "a" * 100_000 + "' does not exist"], [], 1, "nas")
    assert len(error.message) < 1000
    assert len(explain_messages(["x" * 100_000], [], 1, "nas").message) < 1000
    for word in (
        "at /",
        "error: ",
        "lock file ",
        "path '/",
        "a '",
        "Required system: '",
        "{",
        "Failed assertions:\n- ",
    ):
        explain_messages([word * 20_000] * 64, [word * 100] * 25, 1, "nas")
    assert time.monotonic() - started < 30


@pytest.mark.parametrize(
    ("attribute", "kind", "says"),
    [
        ("broken", ToolFailed, "broken-1.0 could not be built: its builder failed with exit code 3"),
        ("foreign", HostFailed, "this machine does not build for riscv32-netbsd: it is x86_64-linux"),
        ("thirt", DefinitionInvalid, "the flake has no thirt"),
        ("noisy", ToolFailed, "noisy-1.0 could not be built: its builder failed with exit code 1"),
    ],
)
def test_real_nix_is_explained(tmp_path: Path, attribute: str, kind: type[ImagekitError], says: str) -> None:
    """The Nix of this machine, whichever it is, fails in words that are known."""
    store, flake = make_own_store(tmp_path), make_flake(tmp_path / "flake")
    log, host = NixLog(silent), ThisMachine()
    nix = find_nix(host, store.environment)
    argv = make_build_command(nix, f"path:{flake}#{attribute}")
    done = host.run(argv, environment=nix.environment, on_line=log.hear, check=False)
    log.finish(done.errors)
    error = explain_failure(log, done.status, host.name)
    assert (type(error), error.message) == (kind, says)
    if attribute == "thirt":
        assert error.hint == "did you mean third?"


def test_cache_that_cannot_be_reached_hides_no_failing_builder() -> None:
    """Without a network Nix complains of its cache first and builds all the same: what the builder did counts."""
    cache = "error: unable to download 'https://cache.example/nix-cache-info': Couldn't resolve host name (6)"
    builder = "error: builder for '/nix/store/0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c-broken.img.drv' failed with exit code 1"
    error = explain_messages([cache, builder], ["the tree does not fit"], 1, "the VM")
    assert type(error) is ToolFailed
    assert error.message == "broken.img could not be built: its builder failed with exit code 1"
    assert type(explain_messages([cache], [], 1, "the VM")) is HostFailed
