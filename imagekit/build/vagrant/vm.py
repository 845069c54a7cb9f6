"""The build VM: started, looked at, entered and removed through Vagrant. Whoever changes it holds its lock.

Two marks lie beside the project. ``ready`` is there when the last start went through to its end, so a VM that runs
without it is half made. ``ours`` is there while a build has it running: a build that was killed leaves it, and the next
one knows that nobody wanted the VM to stay up.
"""

import os
import time
from pathlib import Path

from imagekit.build.vagrant.failure import VmFailed, explain_failure
from imagekit.build.vagrant.machine_readable import find_datum, parse_output
from imagekit.build.vagrant.model import VmProvider, VmSettings, VmState, VmStatus
from imagekit.build.vagrant.project import (
    BOOT_SECONDS,
    find_machine_directory,
    find_made_provider,
    name_state,
    write_private,
    write_project,
)
from imagekit.build.vagrant.provider import ProviderChoice, choose_provider
from imagekit.build.vagrant.run import Outcome, run_watched
from imagekit.build.vagrant.ssh_config import ALIAS, make_ssh_config
from imagekit.build.vagrant.steps import BOOTING, HALTING, REMOVING, STARTING
from imagekit.build.vagrant.tool import VagrantTool, find_vagrant, make_vagrant_environment
from imagekit.errors import HostFailed
from imagekit.host import run
from imagekit.progress import Event, Progress, silent

_READ_SECONDS = 120.0
_UP_SECONDS = 3600.0  # a box is 1 to 2 GB to fetch, and Nix is installed
_HALT_SECONDS = 300.0
_PAUSE_SECONDS = 5.0
# What Vagrant's SSH says of a machine that is still booting (lib/vagrant/errors.rb).
_NOT_YET = frozenset(
    {
        "SSHConnectionAborted", "SSHConnectionRefused", "SSHConnectionReset", "SSHConnectionTimeout",
        "SSHDisconnected", "SSHHostDown", "SSHNoRoute", "SSHNotReady", "SSHUnavailable",
    }
)  # fmt: skip
_RUNNING = frozenset({"running", "started"})
_ABSENT = frozenset({"not_created", "not_running_and_not_created"})


class BuildVm:
    """The VM of one directory. What Vagrant was asked is remembered until something changes: each call takes 1 to 2 s.

    Every method raises :class:`ToolMissing` when Vagrant, a provider or its plugin is not installed, and
    :class:`HostFailed` when the VM does not do its part.
    """

    def __init__(self, settings: VmSettings) -> None:
        self.settings = settings
        self.directory = settings.directory
        self._tool: VagrantTool | None = None
        self._choice: ProviderChoice | None = None
        self._status: VmStatus | None = None
        self._config: Path | None = None
        self._booting = False

    @property
    def is_ready(self) -> bool:
        """Whether the last start went through to its end."""
        return (self.directory / "ready").exists()

    @property
    def is_ours(self) -> bool:
        """Whether a build, perhaps a dead one, has it running."""
        return (self.directory / "ours").exists()

    def mark_ours(self, ours: bool) -> None:
        """Note that a build has the VM running, or that it may stay up."""
        _set_mark(self.directory / "ours", ours)

    def choose_provider(self) -> ProviderChoice:
        """Return the provider in force and why."""
        if self._choice is None:
            made_with = find_made_provider(self.directory)
            self._choice = choose_provider(self._find_tool(), self.settings.provider, made_with)
        return self._choice

    def read_status(self) -> VmStatus:
        """Return how the VM is; without a VM Vagrant is not even asked."""
        if self._status is None:
            made_with = find_made_provider(self.directory)
            if made_with is None or not (self.directory / "Vagrantfile").is_file():
                self._status = VmStatus(VmState.ABSENT, None)
            else:
                lines = parse_output(self._ask("status").encode())
                self._status = VmStatus(_judge_state(said := find_datum(lines, "state")), made_with, said)
        return self._status

    def up(self, progress: Progress = silent) -> None:
        """Start the VM, make it where there is none, and bring what belongs into it up to date.

        When it does not come up, what was half made is stopped before the error is raised; Ctrl-C does the same.
        """
        choice = self.choose_provider()
        if find_made_provider(self.directory) is None:
            progress(Event(STARTING, note=f"a VM is made with {choice.provider}: {choice.reason}"))
        write_project(self.settings, choice.provider)
        self._forget()
        # Of a start that was killed: Vagrant takes a running VM for booted, and enters it at once.
        self._booting = not self.is_ready and self.read_status().state is VmState.RUNNING
        _set_mark(self.directory / "ready", False)
        self._forget()
        try:
            self._start(choice, progress)
        except BaseException:
            self._stop_what_is_there(progress)
            raise
        _set_mark(self.directory / "ready", True)

    def _start(self, choice: ProviderChoice, progress: Progress) -> None:
        """Run ``vagrant up``, again and again while a VM that was booting already does not answer yet."""
        deadline = time.monotonic() + (self.settings.boot_timeout or BOOT_SECONDS)
        while True:
            outcome = self._change(["up", f"--provider={choice.provider}"], STARTING, progress, _UP_SECONDS)
            if outcome.done:
                return
            not_yet = outcome.fault is not None and outcome.fault.short_name in _NOT_YET
            if not (self._booting and not_yet and time.monotonic() < deadline):
                raise explain_failure(outcome, "the VM did not start")
            progress(Event(BOOTING, unit="s", detail="it does not answer yet"))
            time.sleep(_PAUSE_SECONDS)

    def halt(self, progress: Progress = silent) -> None:
        """Shut the VM down in order, by force when it does not go; nothing without a VM."""
        _set_mark(self.directory / "ready", False)
        if find_made_provider(self.directory) is None:
            return
        self._forget()
        outcome = self._change(["halt"], HALTING, progress, _HALT_SECONDS)
        if not outcome.done:
            outcome = self._change(["halt", "--force"], HALTING, progress, _HALT_SECONDS)
        if not outcome.done:
            raise explain_failure(outcome, "the VM could not be halted")
        self.mark_ours(False)

    def destroy(self, progress: Progress = silent) -> None:
        """Remove the VM with its disk and the Nix store on it; nothing without a VM."""
        _set_mark(self.directory / "ready", False)
        if find_made_provider(self.directory) is None:
            return
        self._forget()
        outcome = self._change(["destroy", "--force"], REMOVING, progress, _HALT_SECONDS)
        if not outcome.done:
            raise explain_failure(outcome, "the VM could not be removed")
        self.mark_ours(False)
        self._choice = None

    def write_ssh_config(self) -> Path:
        """Return a file for ``ssh -F`` in which the running VM is host ``imagekit-vm``; only its owner can read it."""
        if self._config is None:
            status = self.read_status()
            if status.provider is None or status.state is not VmState.RUNNING:
                raise VmFailed("the build VM is not running", hint="imagekit vm up starts it")
            # In Vagrant's own directory for the machine, which goes with the machine.
            known_hosts = find_machine_directory(self.directory, status.provider) / "known_hosts"
            config = make_ssh_config(self._ask("ssh-config", "--host", ALIAS, machine_readable=False), known_hosts)
            self._config = self.directory / "ssh_config"
            write_private(self._config, config.encode())
        return self._config

    def _stop_what_is_there(self, progress: Progress) -> None:
        """After a start that failed: halt, unless that fails too, in which case the first error is what matters."""
        try:
            self.halt(progress)
        except HostFailed as problem:
            progress(Event(HALTING, note=f"warning: {problem.message}; imagekit vm status says how it is"))

    def _find_tool(self) -> VagrantTool:
        if self._tool is None:
            self._tool = find_vagrant()
        return self._tool

    def _environment(self) -> dict[str, str]:
        state = name_state(self.directory)
        environment = {"VAGRANT_CWD": os.fspath(self.directory), "VAGRANT_DOTFILE_PATH": os.fspath(state)}
        if (made_with := find_made_provider(self.directory)) is not None:
            environment["VAGRANT_DEFAULT_PROVIDER"] = made_with
        provider = self._choice.provider if self._choice is not None else made_with
        if provider in (VmProvider.VIRTUALBOX, VmProvider.VMWARE):
            environment["VAGRANT_EXPERIMENTAL"] = "disks"  # older ones do not enlarge the disk without it
        return environment

    def _change(self, arguments: list[str], step: str, progress: Progress, timeout: float) -> Outcome:
        return run_watched(
            self._find_tool(), arguments, self._environment(), step=step, progress=progress, timeout=timeout
        )

    def _ask(self, *arguments: str, machine_readable: bool = True) -> str:
        """Return what a command that only reads printed."""
        said = run(
            [self._find_tool().program, *arguments, *(["--machine-readable"] if machine_readable else [])],
            environment=make_vagrant_environment(self._environment()),
            timeout=_READ_SECONDS,
            check=False,
        )
        output = said.output.decode(errors="replace")
        if said.status != 0:
            outcome = Outcome(said.status, "", None, tuple((said.errors or output).splitlines()))
            raise explain_failure(outcome, f"vagrant {arguments[0]} failed")
        return output

    def _forget(self) -> None:
        self._status = self._config = None


def _judge_state(said: str) -> VmState:
    """Return the state behind a provider's word; what is neither up nor absent is stopped, if it was said at all."""
    if said in _RUNNING:
        return VmState.RUNNING
    if said in _ABSENT:
        return VmState.ABSENT
    return VmState.STOPPED if said else VmState.UNKNOWN


def _set_mark(path: Path, there: bool) -> None:
    if there:
        write_private(path, b"1\n")
    else:
        path.unlink(missing_ok=True)
