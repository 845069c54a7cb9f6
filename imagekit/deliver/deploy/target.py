"""The machine that gets a new system: entered again whenever its connection is lost, which a switch may cause."""

import contextlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Self

from imagekit.errors import HostFailed, ImagekitError, ToolFailed, ToolMissing
from imagekit.host import Completed
from imagekit.host.host import Host

# Opens the machine at an address; an empty one is the address that the operator gave. The host key stays the same.
Connect = Callable[[str], Host]
_ANSWER_SECONDS = 60.0
_QUICK_SECONDS = 20.0
_PAUSE = 1.0


@dataclass(frozen=True, slots=True)
class TargetPaths:
    """Where NixOS has things; a test has them elsewhere. ``work`` is memory: a power cut ends a deployment."""

    current_system: str = "/run/current-system"
    profile: str = "/nix/var/nix/profiles/system"
    gc_root: str = "/nix/var/nix/gcroots/imagekit-deploy"
    work: str = "/run/imagekit-deploy"

    @classmethod
    def below(cls, root: str) -> Self:
        """Return the same places below another directory than ``/``."""
        usual = cls()
        return cls(
            *(f"{root.rstrip('/')}{each}" for each in (usual.current_system, usual.profile, usual.gc_root, usual.work))
        )


@dataclass(slots=True)
class Target:
    """A running NixOS machine; ``addresses`` are tried in turn when it has to be entered again."""

    connect: Connect
    paths: TargetPaths = field(default_factory=TargetPaths)
    addresses: tuple[str, ...] = ("",)
    name: str = ""  # for sentences, also when it cannot be entered
    _host: Host | None = None
    _rights: tuple[str, ...] | None = None

    @property
    def host(self) -> Host:
        """Return the open connection; raises :class:`HostFailed` when there is none to be had."""
        if self._host is None:
            problem: ImagekitError | None = None
            for address in self.addresses:
                try:
                    self._host = self.connect(address)
                    self.name = self.name or self._host.name
                    break
                except HostFailed as lost:
                    problem = lost
            else:
                raise problem or HostFailed("no address of the machine is known")
        return self._host

    def close(self) -> None:
        """End the connection; safe to call twice."""
        if self._host is not None:
            self._host.close()
            self._host = None

    def run(
        self, argv: Sequence[str], *, root: bool = False, stdin: bytes | None = None, check: bool = True,
        timeout: float = _ANSWER_SECONDS,
    ) -> Completed:  # fmt: skip
        """Run ``argv`` there, as root when asked to; a lost connection is forgotten, so that the next call enters anew.

        Raises :class:`HostFailed` for a lost connection and :class:`ToolFailed` for a command that failed. Without
        ``check`` no answer in time is a lost connection too: a machine that changed its address just falls silent.
        """
        prefix = self._find_rights() if root else ()
        try:
            return self.host.run([*prefix, *argv], stdin=stdin, check=check, timeout=timeout)
        except HostFailed:
            self.close()
            raise
        except ToolFailed as problem:
            if check:
                raise
            self.close()
            raise HostFailed(f"{self.name} does not answer: {problem.message}") from problem

    def run_script(
        self,
        script: str,
        *arguments: str,
        stdin: bytes | None = None,
        check: bool = True,
        timeout: float = _QUICK_SECONDS,
    ) -> Completed:
        """Run one of our own scripts there as root; ``arguments`` become ``$1``, ``$2``: no shell reads them."""
        argv = ["sh", "-c", script, "imagekit", *arguments]
        return self.run(argv, root=True, stdin=stdin, check=check, timeout=timeout)

    def ask(self, question: Callable[[], Completed], *, seconds: float) -> Completed:
        """Repeat a harmless question over new connections until it is answered; raises :class:`HostFailed` at last."""
        deadline = time.monotonic() + seconds
        while True:
            try:
                return question()
            except HostFailed:
                if time.monotonic() > deadline:
                    raise
                self.addresses = (*self.addresses[1:], self.addresses[0])
                time.sleep(_PAUSE)

    def find_program(self, name: str) -> str:
        """Return a program's absolute path there: sudo may look elsewhere than the login does."""
        try:
            found = self.host.find_program(name)
        except HostFailed:
            self.close()
            raise
        if not found:
            raise ToolMissing(
                f"{name} is not there on {self.name}",
                hint="deploy is for a machine that runs NixOS; for a card, build the image and flash it",
            )
        return found

    def _find_rights(self) -> tuple[str, ...]:
        """Return what goes before a command that root is to run; raises :class:`HostFailed` without such rights."""
        if self._rights is None:
            if self.host.run(["id", "-u"], timeout=_ANSWER_SECONDS).output.strip() == b"0":
                self._rights = ()
                return self._rights
            answer: Completed | None = None
            with contextlib.suppress(ToolMissing):
                answer = self.host.run(["sudo", "-n", "true"], check=False, timeout=_ANSWER_SECONDS)
            if answer is None or answer.status != 0:
                raise HostFailed(
                    f"{self.name} does not let its user become root without a password",
                    hint="enter as an account in wheel, and set security.sudo.wheelNeedsPassword = false",
                )
            self._rights = ("sudo", "-n", "--")
        return self._rights


@dataclass(frozen=True, slots=True)
class RunningSystem:
    """What the target runs: the system's store path, the profile's, and the profile's generation (0: none known)."""

    path: str
    profile_path: str
    generation: int


def read_running_system(target: Target) -> RunningSystem:
    """Return which system runs there and which one it would start; raises :class:`HostFailed` when that is no NixOS."""
    paths = target.paths
    script = 'readlink -f -- "$1"; readlink -f -- "$2"; readlink -- "$2"'
    said = target.run(["sh", "-c", script, "imagekit", paths.current_system, paths.profile], check=False)
    lines = said.output[:4096].decode(errors="replace").splitlines()
    lines += [""] * (3 - len(lines))
    present = target.run(["test", "-x", f"{lines[0]}/bin/switch-to-configuration"], check=False).status == 0
    if not lines[0].startswith("/") or not present:
        raise HostFailed(
            f"{target.name} does not run NixOS: {paths.current_system} has no switch-to-configuration",
            hint="deploy is for a machine that runs NixOS; for a card, build the image and flash it",
        )
    number = lines[2].rsplit("/", 1)[-1].removesuffix("-link").rpartition("-")[2]
    generation = int(number) if number.isascii() and number.isdecimal() and len(number) < 9 else 0
    return RunningSystem(lines[0], lines[1], generation)


def list_failed_units(target: Target) -> frozenset[str]:
    """Return the names of the units that failed there; empty where no systemd runs."""
    try:
        answer = target.run(
            ["systemctl", "list-units", "--failed", "--plain", "--no-legend", "--no-pager"], check=False
        )
    except (ToolMissing, ToolFailed):
        return frozenset()
    if answer.status != 0:
        return frozenset()
    lines = answer.output[: 1 << 16].decode(errors="replace").splitlines()
    return frozenset(line.split()[0][:255] for line in lines[:200] if line.split())


def has_address(target: Target, address: str) -> bool:
    """Say whether the machine has ``address`` on one of its ports."""
    try:
        answer = target.run(["ip", "-o", "address", "show"], check=False)
    except ToolMissing:
        return True
    words = answer.output[: 1 << 18].decode(errors="replace").split()
    return any(word.partition("/")[0] == address for word in words)
