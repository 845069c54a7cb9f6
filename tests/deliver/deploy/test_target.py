"""A target is entered again when it is lost, and root's rights are found or asked for in a sentence."""

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pytest

from imagekit.deliver.deploy.switch import Step, read_state
from imagekit.deliver.deploy.target import (
    Target,
    TargetPaths,
    has_address,
    list_failed_units,
    read_running_system,
)
from imagekit.errors import HostFailed, ToolFailed, ToolMissing
from imagekit.host import Completed
from imagekit.host.here import ThisMachine
from tests.namespace import unshare_mounts


class Nobody(ThisMachine):
    """This machine as an account without rights."""

    def run(
        self,
        argv: Sequence[str],
        *,
        environment: Mapping[str, str] | None = None,
        stdin: bytes | None = None,
        on_line: Callable[[str], None] | None = None,
        timeout: float | None = None,
        check: bool = True,
    ) -> Completed:
        """Run as uid 65534."""
        demoted = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--", *argv]
        return super().run(demoted, environment=environment, stdin=stdin, on_line=on_line, timeout=timeout, check=check)


class Wheel(ThisMachine):
    """This machine as an account that sudo(8) trusts, as a rule of this test's own says, in a mount namespace."""

    def __init__(self, sudoers: Path) -> None:
        super().__init__()
        self.sudoers = sudoers
        sudoers.write_text("Defaults use_pty\nALL ALL=(ALL:ALL) NOPASSWD: ALL\n")
        sudoers.chmod(0o440)

    def run(
        self,
        argv: Sequence[str],
        *,
        environment: Mapping[str, str] | None = None,
        stdin: bytes | None = None,
        on_line: Callable[[str], None] | None = None,
        timeout: float | None = None,
        check: bool = True,
    ) -> Completed:
        """Run as uid 65534, where the rule is in force."""
        script = 'mount --bind "$1" /etc/sudoers; shift; exec setpriv --reuid=65534 --regid=65534 --clear-groups "$@"'
        inside = [*unshare_mounts(), "sh", "-c", script, "sh", str(self.sudoers), *argv]
        return super().run(inside, environment=environment, stdin=stdin, on_line=on_line, timeout=timeout, check=check)


class Lost(ThisMachine):
    """This machine over a connection that breaks at its first use."""

    def run(
        self,
        argv: Sequence[str],
        *,
        environment: Mapping[str, str] | None = None,
        stdin: bytes | None = None,
        on_line: Callable[[str], None] | None = None,
        timeout: float | None = None,
        check: bool = True,
    ) -> Completed:
        """Break."""
        raise HostFailed("the connection was lost")


def here(_address: str) -> ThisMachine:
    return ThisMachine()


def write_state(work: Path, text: str) -> TargetPaths:
    work.mkdir(exist_ok=True)
    (work / "state").write_text(text)
    (work / "log").write_text("activating\n")
    return TargetPaths(work=str(work))


def test_places_may_be_below_another_root() -> None:
    """NixOS's places are the default, and a test's lie below a directory."""
    assert TargetPaths.below("/") == TargetPaths()
    assert TargetPaths.below("/srv/x/").profile == "/srv/x/nix/var/nix/profiles/system"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become nobody")
def test_account_without_rights_is_told_what_it_needs() -> None:
    """An account that cannot become root without a password is no way in."""
    target = Target(lambda _address: Nobody())
    with pytest.raises(HostFailed, match="become root without a password") as caught:
        target.run(["true"], root=True)
    assert "wheelNeedsPassword" in (caught.value.hint or "")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become nobody")
def test_account_that_sudo_trusts_may_do_all(tmp_path: Path) -> None:
    """A script of ours runs as root through the real sudo, with its arguments and its standard input as they are."""
    target = Target(lambda _address: Wheel(tmp_path / "sudoers"))
    assert target.run(["id", "-u"]).output == b"65534\n"
    script = 'id -u; printf "%s|" "$@"; cat; exit 3'
    said = target.run_script(script, "a b", "$HOME; 'x'", stdin=bytes(range(256)), check=False)
    assert said.output == b"0\na b|$HOME; 'x'|" + bytes(range(256))
    assert said.status == 3


def test_lost_connection_is_made_anew() -> None:
    """The first connection breaks, the second one at the other address answers."""
    asked: list[str] = []

    def connect(address: str) -> ThisMachine:
        asked.append(address)
        return Lost() if address == "" else ThisMachine()

    target = Target(connect, addresses=("", "192.0.2.7"))
    answer = target.ask(lambda: target.run(["echo", "here"], check=False), seconds=10)
    assert answer.output == b"here\n"
    assert asked == ["", "192.0.2.7"]
    gone = Target(lambda _address: Lost())
    with pytest.raises(HostFailed, match="was lost"):
        gone.ask(lambda: gone.run(["true"], check=False), seconds=0)


def test_silence_is_a_lost_connection() -> None:
    """A question without an answer in time is asked anew; a command that was to succeed is the caller's."""
    target = Target(here)
    with pytest.raises(HostFailed, match="this machine does not answer"):
        target.run(["sleep", "5"], check=False, timeout=0.1)
    with pytest.raises(ToolFailed):
        target.run(["sleep", "5"], timeout=0.1)


def test_running_system_is_read(tmp_path: Path) -> None:
    """Path, profile and generation come from the links; a profile that is none of Nix's has no generation."""
    system = tmp_path / "system"
    (system / "bin").mkdir(parents=True)
    (system / "bin/switch-to-configuration").write_text("#!/bin/sh\n")
    (system / "bin/switch-to-configuration").chmod(0o755)
    (tmp_path / "current").symlink_to(system)
    (tmp_path / "system-41-link").symlink_to(system)
    (tmp_path / "profile").symlink_to("system-41-link")
    paths = TargetPaths(current_system=str(tmp_path / "current"), profile=str(tmp_path / "profile"))
    found = read_running_system(Target(here, paths))
    assert (found.path, found.profile_path, found.generation) == (str(system), str(system), 41)
    (tmp_path / "profile").unlink()
    assert read_running_system(Target(here, paths)).generation == 0
    with pytest.raises(HostFailed, match="does not run NixOS"):
        read_running_system(Target(here, TargetPaths(current_system=str(tmp_path))))


def test_missing_program_is_told() -> None:
    """A machine without Nix is told as one that does not run NixOS."""
    with pytest.raises(ToolMissing, match="no-such-nix is not there on this machine"):
        Target(here).find_program("no-such-nix")


@pytest.mark.parametrize(
    ("text", "step", "reason"),
    [
        ("switching\n", Step.SWITCHING, ""),
        ("rolled-back nobody confirmed within 4 s\n", Step.ROLLED_BACK, "nobody confirmed within 4 s"),
        ("stuck status 1\n", Step.STUCK, "status 1"),
    ],
)
def test_state_is_read(text: str, step: Step, reason: str, tmp_path: Path) -> None:
    """A word and a reason, and the end of the log."""
    state = read_state(Target(here, write_state(tmp_path / "work", text)))
    assert (state.step, state.reason, state.log) == (step, reason, "activating")


@pytest.mark.parametrize("text", ["committed" * 100, "all is well", "\x1b[2Jcommitted", "Committed"])
def test_state_that_nobody_wrote_is_refused(text: str, tmp_path: Path) -> None:
    """Anything else is no state, however it looks."""
    with pytest.raises(HostFailed, match="nothing is known"):
        read_state(Target(here, write_state(tmp_path / "work", text)))


def test_state_before_the_first_word_is_switching(tmp_path: Path) -> None:
    """The watchdog has been started and said nothing yet; without its directory nothing is known."""
    (tmp_path / "work").mkdir()
    assert read_state(Target(here, TargetPaths(work=str(tmp_path / "work")))).step is Step.SWITCHING
    with pytest.raises(HostFailed, match="nothing is known"):
        read_state(Target(here, TargetPaths(work=str(tmp_path / "gone"))))


def test_units_and_addresses_are_asked_for() -> None:
    """Where no systemd runs no unit failed; loopback is an address of every machine."""
    assert isinstance(list_failed_units(Target(here)), frozenset)
    assert has_address(Target(here), "127.0.0.1")
    assert not has_address(Target(here), "192.0.2.200")
