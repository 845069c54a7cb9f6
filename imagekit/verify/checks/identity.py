"""Identity: what must not exist twice.

Source of the rules: machine-id(5), systemd's BUILDING_IMAGES, systemd-firstboot(1).
"""

from collections.abc import Iterator

from imagekit.disk.tree import FileType
from imagekit.report import Severity
from imagekit.verify.check import EVERYWHERE, MACHINES, Check, Policy, Seen, Subject
from imagekit.verify.facts.accounts import read_accounts, read_shadow
from imagekit.verify.facts.boot_entries import read_arguments
from imagekit.verify.facts.cloud_config import is_on, read_cloud_config
from imagekit.verify.facts.system import MachineId, classify_machine_id, is_first_boot, read_machine_id
from imagekit.verify.facts.units import find_unit
from imagekit.verify.view import CannotSee, View

MACHINE_ID = "/etc/machine-id"
DBUS_ID = "/var/lib/dbus/machine-id"
_NEUTRAL_NAMES = ("", "localhost", "localhost.localdomain", "debian", "ubuntu", "fedora", "nixos")
_SEEDS = (
    "/var/lib/systemd/random-seed",
    "/var/lib/random-seed",
    "/var/lib/urandom/random-seed",
    "/boot/efi/loader/random-seed",
    "/efi/loader/random-seed",
    "/boot/loader/random-seed",
)
_KEYMAPS = ("/usr/share/keymaps", "/usr/share/kbd/keymaps", "/usr/lib/kbd/keymaps")


def find_machine_id(view: View, _policy: Policy) -> Iterator[Seen]:
    """Accept an empty file and ``uninitialized``; everything else clones an id or stops the network."""
    match read_machine_id(view):
        case MachineId.VALID:
            text = view.text(MACHINE_ID, 64) or ""
            yield Seen(MACHINE_ID, f"a valid id that begins with {text[:4]}")
        case MachineId.MISSING:
            yield Seen(MACHINE_ID, "there is no such file")
        case MachineId.OTHER:
            yield Seen(MACHINE_ID, "neither empty, nor 'uninitialized', nor an id", Severity.WARN)
        case MachineId.EMPTY | MachineId.UNINITIALIZED:
            return


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
    match classify_machine_id(view.text(DBUS_ID, 4096) or ""):
        case MachineId.VALID:
            yield Seen(DBUS_ID, f"a copy of an id that begins with {(view.text(DBUS_ID, 64) or '')[:4]}")
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
    if "root" not in {account.name for account in read_accounts(view)}:
        yield Seen("/etc/passwd", "no root account while the next boot is a first boot: its password is asked for")
    elif read_shadow(view).get("root", "*") == "!unprovisioned":
        yield Seen("/etc/shadow", "root is '!unprovisioned': its password is asked for")
    has_keymaps = any(view.tree.names(directory) for directory in _KEYMAPS)
    if "--prompt-keymap" in unit.text and has_keymaps and view.tree.lstat("/etc/vconsole.conf") is None:
        yield Seen("/etc/vconsole.conf", "missing while keymaps are installed: the keyboard is asked for")


def find_machine_id_argument(view: View, _policy: Policy) -> Iterator[Seen]:
    """Look for ``systemd.machine_id=`` on any kernel command line; it beats the file."""
    for argument in read_arguments(view):
        if argument.text.startswith("systemd.machine_id=") and argument.text != "systemd.machine_id=firmware":
            yield Seen(argument.path, "the kernel command line sets systemd.machine_id=")


def find_random_seed(view: View, _policy: Policy) -> Iterator[Seen]:
    """Look for saved entropy in the root and on the ESP."""
    for path in _SEEDS:
        node = view.tree.lstat(path)
        if node is not None and node.type is FileType.FILE:
            yield Seen(path, f"{node.size} bytes of saved entropy")
    esp = view.esp() if view.has_disk else None
    if esp is not None and (node := esp.stat("/loader/random-seed")) is not None:
        yield Seen("ESP:/loader/random-seed", f"{node.size} bytes of saved entropy")


def find_hostname(view: View, _policy: Policy) -> Iterator[Seen]:
    """Look for the build machine's name; it fails where cloud-init is told to keep it."""
    name = (view.text("/etc/hostname", 4096) or "").strip()
    if name in _NEUTRAL_NAMES or name.startswith("#"):
        return
    try:
        kept = is_on(read_cloud_config(view).get("preserve_hostname"))
    except CannotSee:
        kept = False
    yield Seen("/etc/hostname", f"names a machine: {name}", Severity.FAIL if kept else Severity.WARN)


CHECKS = (
    Check(
        id="machine-id",
        severity=Severity.FAIL,
        subject=Subject.IDENTITY,
        why="clones with one id share a DHCP lease and a journal; a missing file on a read-only root stops the network",
        fix=": > /etc/machine-id",
        find=find_machine_id,
        profiles=EVERYWHERE,
        never_published=True,
    ),
    Check(
        id="dbus-machine-id",
        severity=Severity.FAIL,
        subject=Subject.IDENTITY,
        why="systemd prefers this copy over making a new id, so every clone gets the old one back",
        fix="rm -f /var/lib/dbus/machine-id",
        find=find_dbus_machine_id,
    ),
    Check(
        id="first-boot-wizard",
        severity=Severity.FAIL,
        subject=Subject.IDENTITY,
        why="the clone waits on its console for a key press; network, SSH and agent never come up",
        fix="empty /etc/machine-id, or provide the missing file, or mask systemd-firstboot.service",
        find=find_first_boot_wizard,
        profiles=MACHINES,
    ),
    Check(
        id="machine-id-cmdline",
        severity=Severity.FAIL,
        subject=Subject.IDENTITY,
        why="the argument gives every clone the same machine-id, whatever the file says",
        fix="remove systemd.machine_id= from the kernel command line and run update-grub",
        find=find_machine_id_argument,
        profiles=MACHINES,
    ),
    Check(
        id="random-seed",
        severity=Severity.WARN,
        subject=Subject.IDENTITY,
        why="all clones start their random numbers from the same seed",
        fix="remove the file; systemd writes a new one",
        find=find_random_seed,
    ),
    Check(
        id="hostname",
        severity=Severity.WARN,
        subject=Subject.IDENTITY,
        why="the build machine's name shows up in DHCP and logs until cloud-init renames the clone",
        fix=": > /etc/hostname",
        find=find_hostname,
        profiles=MACHINES,
    ),
)
