"""The build VM for the length of one build: started when it does not run, entered, and halted in every case."""

import contextlib
from collections.abc import Iterator

from imagekit.build.vagrant.lock import hold_vm
from imagekit.build.vagrant.model import VmSettings, VmState
from imagekit.build.vagrant.ssh_config import ALIAS
from imagekit.build.vagrant.steps import HALTING
from imagekit.build.vagrant.vm import BuildVm
from imagekit.errors import ImagekitError
from imagekit.host.host import Host
from imagekit.progress import Event, Progress, silent


@contextlib.contextmanager
def open_vm(
    settings: VmSettings,
    *,
    command: str,
    keep_up: bool = False,
    wait_seconds: float = 0.0,
    progress: Progress = silent,
) -> Iterator[Host]:
    """Yield the VM as a machine that runs commands and gives files; nobody else may use it meanwhile.

    ``command`` tells others who has it. A VM that ran already stays up, and with ``keep_up`` any does; else it is
    halted at the end, also after an error or Ctrl-C, and after a build that was killed by the next one. When only the
    halting fails, that is a note: what was built is good. Raises what :class:`BuildVm` does.
    """
    from imagekit.host.openssh import open_openssh

    vm = BuildVm(settings)
    with hold_vm(settings.directory, command, wait_seconds=wait_seconds, progress=progress):
        began_running = vm.read_status().state is VmState.RUNNING and not vm.is_ours
        if not began_running:
            vm.mark_ours(True)
        try:
            if not vm.is_ready or vm.read_status().state is not VmState.RUNNING:
                vm.up(progress)
            with open_openssh(ALIAS, config=vm.write_ssh_config()) as host:
                yield host
        finally:
            if keep_up and vm.is_ready:
                vm.mark_ours(False)
                progress(Event(HALTING, note="the VM stays up; imagekit vm halt stops it"))
            elif vm.is_ours:  # no longer when a start that failed has halted it
                _halt(vm, progress)


def _halt(vm: BuildVm, progress: Progress) -> None:
    try:
        vm.halt(progress)
    except ImagekitError as problem:
        progress(Event(HALTING, note=f"warning: {problem.message}; imagekit vm halt tries again"))
