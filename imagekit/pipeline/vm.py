"""The build VM as the command line and the pipeline ask for it: the operator's settings, one verb for each command."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from imagekit.errors import ImagekitError, Refused, SettingsInvalid
from imagekit.progress import Progress, silent
from imagekit.settings import Settings

if TYPE_CHECKING:
    from imagekit.build.vagrant import VmSettings, VmStatus
    from imagekit.host.host import Host


def read_vm_settings(settings: Settings) -> "VmSettings":
    """Return the VM that these settings ask for; :class:`SettingsInvalid` for a provider that does not exist."""
    from difflib import get_close_matches

    from imagekit.build.vagrant import VmProvider, VmSettings

    provider = None
    if (word := settings.vagrant_provider) is not None:
        try:
            provider = VmProvider(word)
        except ValueError:
            close = get_close_matches(word, list(VmProvider), n=1)
            raise SettingsInvalid(
                "a setting cannot be used",
                problems=[
                    f"{settings.origins['vagrant_provider']}: {word!r} is not one of {', '.join(VmProvider)}"
                    + (f"; did you mean {str(close[0])!r}?" if close else "")
                ],
            ) from None
    return VmSettings(
        settings.state / "vagrant",
        provider,
        settings.vagrant_box or "",
        cpus=settings.vagrant_cpus,
        memory=settings.vagrant_memory,
        disk=settings.vagrant_disk,
        boot_timeout=settings.boot_timeout,
    )


def explain_vm(settings: Settings) -> tuple[str, str]:
    """Return how the build VM could be had, as part of a sentence, and an empty string; or the reverse, why not."""
    from imagekit.build.vagrant.project import find_made_provider
    from imagekit.build.vagrant.provider import choose_provider
    from imagekit.build.vagrant.tool import find_vagrant

    try:
        wanted = read_vm_settings(settings)
        tool = find_vagrant()
        choice = choose_provider(tool, wanted.provider, find_made_provider(wanted.directory))
    except ImagekitError as problem:
        return "", problem.message
    return f"Vagrant {tool.version} can run a VM with {choice.provider} ({choice.reason})", ""


@contextmanager
def open_build_vm(
    settings: Settings, *, keep_up: bool = False, command: str = "imagekit build", progress: Progress = silent
) -> Iterator["Host"]:
    """Yield the build VM for one build; see :func:`imagekit.build.vagrant.open_vm`."""
    from imagekit.build.vagrant import open_vm

    with open_vm(read_vm_settings(settings), command=command, keep_up=keep_up, progress=progress) as host:
        yield host


def start_vm(settings: Settings, progress: Progress = silent) -> "VmStatus":
    """Start the VM so that it stays up, and return how it is; one that runs is brought up to date."""
    from imagekit.build.vagrant import BuildVm
    from imagekit.build.vagrant.lock import hold_vm

    vm = BuildVm(read_vm_settings(settings))
    with hold_vm(vm.directory, "imagekit vm up"):
        vm.up(progress)
        vm.mark_ours(False)  # a build that was killed may have left it: now somebody wants it
        return vm.read_status()


def halt_vm(settings: Settings, progress: Progress = silent) -> bool:
    """Halt the VM; says whether there was one. :class:`HostFailed` names the build that is using it."""
    from imagekit.build.vagrant import BuildVm, VmState
    from imagekit.build.vagrant.lock import hold_vm

    vm = BuildVm(read_vm_settings(settings))
    if vm.read_status().state is VmState.ABSENT:
        return False
    with hold_vm(vm.directory, "imagekit vm halt"):
        vm.halt(progress)
    return True


def read_vm_status(settings: Settings) -> "VmStatus":
    """Return how the VM is, also while a build has it."""
    from imagekit.build.vagrant import BuildVm

    return BuildVm(read_vm_settings(settings)).read_status()


def destroy_vm(settings: Settings, *, agreed: bool, progress: Progress = silent) -> bool:
    """Remove the VM and its disk; says whether there was one. :class:`Refused` unless the operator ``agreed``."""
    from imagekit.build.vagrant import BuildVm, VmState
    from imagekit.build.vagrant.lock import hold_vm

    vm = BuildVm(read_vm_settings(settings))
    if vm.read_status().state is VmState.ABSENT:
        return False
    if not agreed:
        raise Refused(
            "the VM's disk and the Nix store on it would be gone", hint="--yes removes it; imagekit vm halt keeps it"
        )
    with hold_vm(vm.directory, "imagekit vm destroy"):
        vm.destroy(progress)
    return True


def find_ssh_config(settings: Settings) -> tuple[Path, str]:
    """Return the file for ``ssh -F`` and the VM's name in it; :class:`HostFailed` while the VM does not run."""
    from imagekit.build.vagrant import BuildVm
    from imagekit.build.vagrant.ssh_config import ALIAS

    return BuildVm(read_vm_settings(settings)).write_ssh_config(), ALIAS
