"""A NixOS card: what U-Boot starts, which system that is, and that system's ``/etc`` before activation has made it.

Sources: nixpkgs' sd-image.nix, extlinux-conf-builder.sh, top-level.nix and etc.nix; U-Boot's doc/README.pxe.
"""

import posixpath
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from imagekit.disk.graft import Grafted
from imagekit.disk.tree import FileTree, FileType
from imagekit.verify.view import CannotSee, View, fact

if TYPE_CHECKING:
    from imagekit.disk.volume import Volume

STORE = "/nix/store"
EXTLINUX = "/boot/extlinux/extlinux.conf"
_LIMIT = 1 << 20
_MOST_ENTRIES = 256
_SYSTEM = re.compile(r"init=(/nix/store/[0-9A-Za-z+\-._?=]{34,300})/init")
_KEYWORDS = {
    "linux": "kernel",
    "kernel": "kernel",
    "initrd": "initrd",
    "fdt": "fdt",
    "devicetree": "fdt",
    "fdtdir": "fdt_directory",
    "devicetreedir": "fdt_directory",
    "append": "append",
}


@dataclass(slots=True)
class Entry:
    """A label of extlinux.conf; paths as written, empty where the entry names none."""

    label: str
    kernel: str = ""
    initrd: str = ""
    fdt: str = ""
    fdt_directory: str = ""
    append: str = ""


@dataclass(slots=True)
class Extlinux:
    """What extlinux.conf says: ``default`` names a label, ``timeout`` is in tenths of a second."""

    default: str = ""
    timeout: str = ""
    entries: list[Entry] = field(default_factory=list)

    @property
    def started(self) -> Entry | None:
        """Return the entry that U-Boot starts when nobody touches its menu; without a default, the first."""
        if not self.default:
            return self.entries[0] if self.entries else None
        return next((entry for entry in self.entries if entry.label == self.default), None)


@fact
def read_extlinux(view: View) -> Extlinux | None:
    """Read ``/boot/extlinux/extlinux.conf``; ``None`` when there is none."""
    if not view.is_file(EXTLINUX):
        return None
    menu = Extlinux()
    for line in view.lines(EXTLINUX):
        keyword, _, value = line.strip().replace("\t", " ").partition(" ")
        keyword, value = keyword.lower(), value.strip()
        if keyword == "label" and len(menu.entries) < _MOST_ENTRIES:
            menu.entries.append(Entry(value))
        elif keyword == "default":
            menu.default = value
        elif keyword == "timeout":
            menu.timeout = value
        elif keyword == "menu" and value.lower() == "default" and menu.entries:
            menu.default = menu.entries[-1].label
        elif menu.entries and (name := _KEYWORDS.get(keyword)):
            setattr(menu.entries[-1], name, value)
    return menu


def locate(path: str) -> str:
    """Return a path of extlinux.conf as one of the tree: a relative one begins beside the file."""
    return posixpath.normpath(posixpath.join(posixpath.dirname(EXTLINUX), path))


@dataclass(frozen=True, slots=True)
class Firmware:
    """The FAT that a Raspberry Pi's firmware reads, with its files; names are compared without case."""

    volume: "Volume"
    tree: FileTree

    def text(self, name: str) -> str | None:
        """Return a file's first MiB as text; ``None`` when there is none."""
        data = self.tree.read(name, _LIMIT)
        return None if data is None else data.decode("utf-8", "surrogateescape")

    def has(self, name: str) -> bool:
        """Say whether there is a file with something in it."""
        node = self.tree.stat(name)
        return node is not None and node.type is FileType.FILE and node.size > 0


@fact
def find_firmware(view: View) -> Firmware | None:
    """Return the first FAT of the disk, as the firmware does; raises :class:`CannotSee` for a directory."""
    from imagekit.disk.fat.filesystem import Fat

    for volume in view.volumes():
        if isinstance(volume.filesystem, Fat):
            return Firmware(volume, FileTree(volume.filesystem, ignore_case=True))
    return None


@fact
def find_systems(view: View) -> tuple[str, ...]:
    """Return the store path of every system that can be started, the default one first.

    Firmware that starts the kernel itself has the command line in ``cmdline.txt`` of its FAT.
    """
    menu = read_extlinux(view)
    texts = []
    if menu is not None:
        started = menu.started
        texts = [*([started.append] if started else []), *(entry.append for entry in menu.entries)]
    elif view.has_disk and (firmware := find_firmware(view)) is not None:
        texts = [firmware.text("cmdline.txt") or ""]
    return tuple(dict.fromkeys(match.group(1) for text in texts if (match := _SYSTEM.search(text))))


@fact
def find_system(view: View) -> str:
    """Return the store path of the system that is started; raises :class:`CannotSee` when that is not known."""
    if not (systems := find_systems(view)):
        raise CannotSee("no boot entry names a NixOS system")
    if not view.tree.names(systems[0]):
        raise CannotSee(f"{systems[0]} is not in the image")
    return systems[0]


@fact
def open_system(view: View) -> View:
    """Return the image as activation will make it: with the system's own ``/etc`` in place of the one that is there.

    Facts about ``/etc`` (units, sshd's configuration, networks) then hold for a card that never ran. Raises
    :class:`CannotSee` as :func:`find_system`, and when the system has no ``/etc``.
    """
    etc = f"{find_system(view)}/etc"
    if not view.tree.names(etc):
        raise CannotSee(f"{etc} is not in the image")
    system = View(view.kind, FileTree(Grafted(view.tree.source, "etc", etc)))
    system.deadline = view.deadline
    return system


def name_in_store(view: View, path: str) -> str:
    """Return where a path of :func:`open_system` is in the image."""
    return open_system(view).tree.resolve(path) or path


@fact
def read_kernel_words(view: View) -> frozenset[str]:
    """Return the words of the kernel command line that the default entry has."""
    menu = read_extlinux(view)
    words = menu.started.append.split() if menu is not None and menu.started is not None else []
    return frozenset((*words, *(view.text(f"{find_system(view)}/kernel-params", _LIMIT) or "").split()))
