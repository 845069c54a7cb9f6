"""The machine-id in all its states: what must not exist twice, and what the next boot makes of it.

Source of the rules: machine-id(5), systemd's BUILDING_IMAGES, systemd-firstboot(1), systemd.preset(5) and
kernel-install(8).
"""

import re
from collections.abc import Iterator

from imagekit.disk.tree import FileType
from imagekit.report import Severity
from imagekit.verify.check import (
    ALL_PROFILES,
    EVERYWHERE,
    MACHINES,
    Check,
    Policy,
    Profile,
    Seen,
    Subject,
)
from imagekit.verify.facts.accounts import read_accounts, read_shadow
from imagekit.verify.facts.boot_entries import read_arguments, read_entries
from imagekit.verify.facts.presets import list_preset_units
from imagekit.verify.facts.system import MachineId, classify_machine_id, is_first_boot, read_machine_id
from imagekit.verify.facts.units import find_unit
from imagekit.verify.view import View

MACHINE_ID = "/etc/machine-id"
DBUS_ID = "/var/lib/dbus/machine-id"
TOKEN = "/etc/kernel/entry-token"
_KEYMAPS = ("/usr/share/keymaps", "/usr/share/kbd/keymaps", "/usr/lib/kbd/keymaps")
_ID_NAME = re.compile(r"([0-9a-f]{32})(?:-.*\.conf)?")
_TRACES = ("/var/log/journal", "/boot", "/boot/loader/entries", "/boot/efi", "/boot/efi/loader/entries", "/efi",
           "/efi/loader/entries")  # fmt: skip
_MOST_NAMED = 8


def find_machine_id(view: View, policy: Policy) -> Iterator[Seen]:
    """Accept an empty file and ``uninitialized`` in what is to be cloned, and only an id on a machine that runs.

    A NixOS card has no ``/etc`` before its first boot, and its root is mounted writable: there, missing is clean.
    """
    state = read_machine_id(view)
    text = view.text(MACHINE_ID, 64, head=True) or ""
    if policy.profile is Profile.CLONE:
        if state is not MachineId.VALID:
            yield Seen(MACHINE_ID, f"a running machine without an id of its own ({state.value})", fix=_MAKE_ID)
        elif not text.strip("0\n"):
            yield Seen(MACHINE_ID, "an id of zeros, which every machine made this way has", fix=_MAKE_ID)
        return
    match state:
        case MachineId.VALID:
            yield Seen(MACHINE_ID, f"a valid id that begins with {text[:4]}")
        case MachineId.MISSING:
            if policy.profile is not Profile.SD_IMAGE or view.tree.lstat(MACHINE_ID) is not None:
                yield Seen(MACHINE_ID, "there is no such file")
        case MachineId.OTHER:
            yield Seen(MACHINE_ID, "neither empty, nor 'uninitialized', nor an id", Severity.WARN)
        case MachineId.EMPTY | MachineId.UNINITIALIZED:
            return


_MAKE_ID = "rm -f /etc/machine-id && systemd-machine-id-setup && reboot"


def find_dbus_machine_id(view: View, _policy: Policy) -> Iterator[Seen]:
    """Look for D-Bus's own copy, from which systemd takes the old id back."""
    node = view.tree.lstat(DBUS_ID)
    if node is None:
        return
    if node.type is FileType.SYMLINK:
        target = view.tree.resolve(DBUS_ID)
        if target in (None, MACHINE_ID):
            return
    elif node.type is not FileType.FILE:
        yield Seen(DBUS_ID, f"is a {node.type.value}", Severity.WARN)
        return
    match classify_machine_id(view.text(DBUS_ID, 4096, head=True) or ""):
        case MachineId.VALID:
            yield Seen(DBUS_ID, f"a copy of an id that begins with {(view.text(DBUS_ID, 64, head=True) or '')[:4]}")
        case MachineId.EMPTY:
            yield Seen(DBUS_ID, "an empty file of its own instead of a link to /etc/machine-id", Severity.INFO)
        case _:
            yield Seen(DBUS_ID, "a file of its own that holds no id", Severity.WARN)


def find_first_boot_wizard(view: View, _policy: Policy) -> Iterator[Seen]:
    """Look for the combination that makes systemd-firstboot ask questions on the console."""
    unit = find_unit(view, "systemd-firstboot.service")
    if not is_first_boot(view) or unit is None or unit.masked:
        return
    offs = ("systemd.firstboot=no", "systemd.firstboot=0", "systemd.firstboot=off", "systemd.firstboot=false")
    if any(argument.text in offs for argument in read_arguments(view)):
        return
    if view.tree.lstat("/etc/localtime") is None:
        yield Seen("/etc/localtime", "missing while the next boot is a first boot: the time zone is asked for")
    if view.tree.lstat("/etc/locale.conf") is None and view.tree.lstat("/etc/default/locale") is None:
        yield Seen("/etc/locale.conf", "no locale file while the next boot is a first boot: the locale is asked for")
    root = next((account for account in read_accounts(view) if account.name == "root"), None)
    if root is None:
        yield Seen("/etc/passwd", "no root account while the next boot is a first boot: its password is asked for")
    elif root.password == "x" and (field := read_shadow(view).get("root")) in (None, "!unprovisioned"):
        found = "root has no line" if field is None else f"root is '{field}'"
        yield Seen("/etc/shadow", f"{found} while the next boot is a first boot: its password is asked for")
    has_keymaps = any(view.tree.names(directory) for directory in _KEYMAPS)
    if "--prompt-keymap" in unit.text and has_keymaps and view.tree.lstat("/etc/vconsole.conf") is None:
        yield Seen("/etc/vconsole.conf", "missing while keymaps are installed: the keyboard is asked for")


def find_first_boot_presets(view: View, _policy: Policy) -> Iterator[Seen]:
    """Look for units that a first boot on a writable root enables again, since no preset says that they stay off.

    With ``ro`` on the command line, as Debian and Ubuntu have it, PID 1 cannot write and gives up.
    """
    if not is_first_boot(view) or not _is_root_writable(view):
        return
    if names := list_preset_units(view):
        more = f" and {len(names) - _MOST_NAMED} more" if len(names) > _MOST_NAMED else ""
        yield Seen(MACHINE_ID, f"the first boot mounts / rw and enables {', '.join(names[:_MOST_NAMED])}{more}")


def _is_root_writable(view: View) -> bool:
    """Say whether any boot entry mounts the root ``rw``; the last of the two words counts, and without one it is ro."""
    for entry in read_entries(view):
        words = [word for word in entry.arguments if word in ("ro", "rw")]
        if words and words[-1] == "rw":
            return True
    return False


def find_machine_id_argument(view: View, _policy: Policy) -> Iterator[Seen]:
    """Look for ``systemd.machine_id=`` on any kernel command line; it beats the file."""
    for argument in read_arguments(view):
        if argument.text.startswith("systemd.machine_id=") and argument.text != "systemd.machine_id=firmware":
            yield Seen(argument.path, "the kernel command line sets systemd.machine_id=")


def find_traces(view: View, policy: Policy) -> Iterator[Seen]:
    """Look for directories and boot entries named by a machine-id; on a clone, by another one than its own."""
    own = ""
    if policy.profile is Profile.CLONE and read_machine_id(view) is MachineId.VALID:
        own = (view.text(MACHINE_ID, 64, head=True) or "").strip().lower()
    for directory in _TRACES:
        for path, _ in view.children(directory):
            match = _ID_NAME.fullmatch(path.rsplit("/", 1)[-1])
            if match is not None and match.group(1) != own:
                yield Seen(path, f"named by the machine-id that begins with {match.group(1)[:4]}")
    esp = view.esp() if view.has_disk else None
    if esp is None or any(view.tree.names(mounted) for mounted in ("/boot/efi", "/efi")):
        return  # none, or seen above at its place
    for directory in ("", "/loader/entries"):
        for name in esp.names(directory or "/"):
            match = _ID_NAME.fullmatch(name)
            if match is not None and match.group(1) != own:
                yield Seen(f"ESP:{directory}/{name}", f"named by the machine-id that begins with {match.group(1)[:4]}")


def find_entry_token(view: View, _policy: Policy) -> Iterator[Seen]:
    """Look for boot entries named by an id while nothing tells kernel-install(8) to name them otherwise."""
    if (view.text(TOKEN, 4096, head=True) or "").strip():
        return
    paths = {entry.path for entry in read_entries(view) if "/loader/entries/" in entry.path}
    named = sorted(path for path in paths if _ID_NAME.fullmatch(path.rsplit("/", 1)[-1]))
    if named:
        yield Seen(TOKEN, f"missing, and {len(named)} boot entries are named by a machine-id, first {named[0]}")


CHECKS = (
    Check(
        id="machine-id",
        severity=Severity.FAIL,
        subject=Subject.IDENTITY,
        why="clones with one id share a DHCP lease and a journal; a missing file on a read-only root stops the network",
        fix="`: > /etc/machine-id`",
        find=find_machine_id,
        profiles=ALL_PROFILES,
        never_published=True,
    ),
    Check(
        id="dbus-machine-id",
        severity=Severity.FAIL,
        subject=Subject.IDENTITY,
        why="systemd prefers this copy over making a new id, so every clone gets the old one back",
        fix="`rm -f /var/lib/dbus/machine-id`",
        find=find_dbus_machine_id,
        profiles=(*EVERYWHERE, Profile.SD_IMAGE),
    ),
    Check(
        id="first-boot-wizard",
        severity=Severity.FAIL,
        subject=Subject.IDENTITY,
        why="the clone waits on its console for a key press; network, SSH and agent never come up",
        fix="`: > /etc/machine-id`, or provide the missing file, or systemctl mask systemd-firstboot.service",
        find=find_first_boot_wizard,
        profiles=MACHINES,
    ),
    Check(
        id="first-boot-presets",
        severity=Severity.WARN,
        subject=Subject.IDENTITY,
        why="every clone starts the timers and sockets that the template had switched off",
        fix="`: > /etc/machine-id`, or systemctl mask the units, or name them in a preset file",
        find=find_first_boot_presets,
        profiles=MACHINES,
    ),
    Check(
        id="machine-id-cmdline",
        severity=Severity.FAIL,
        subject=Subject.IDENTITY,
        why="the argument gives every clone the same machine-id, whatever the file says",
        fix="`sed -i 's/systemd.machine_id=[^ \"]*//g' /etc/default/grub /etc/kernel/cmdline; update-grub`",
        find=find_machine_id_argument,
        profiles=(Profile.TEMPLATE, Profile.CLONE, Profile.SD_IMAGE),
    ),
    Check(
        id="machine-id-traces",
        severity=Severity.INFO,
        subject=Subject.IDENTITY,
        why="they name the build machine, and a clone's journal and kernels are kept beside directories that are dead",
        fix="`rm -rf /var/log/journal/*`, and the directory or boot entry of the old id",
        find=find_traces,
        profiles=ALL_PROFILES,
    ),
    Check(
        id="entry-token",
        severity=Severity.WARN,
        subject=Subject.IDENTITY,
        why="a clone's kernel updates go to entries of its own id, and the old entries stay the default",
        fix=(
            "`. /etc/os-release; printf '%s\\n' \"${IMAGE_ID:-$ID}\" > /etc/kernel/entry-token; kernel-install add-all`"
        ),
        find=find_entry_token,
        profiles=MACHINES,
    ),
)
