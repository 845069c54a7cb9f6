"""What the boot loader would start: entries, kernel command lines, and the names of disks in them.

Read from GRUB's generated ``grub.cfg``, Boot Loader Specification entries (uapi-group.org/specifications),
``/etc/default/grub`` (with ``grub.d``), ``/etc/kernel/cmdline`` and, when the view has it, the EFI system partition.
"""

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass

from imagekit.disk.tree import FileTree, FileType
from imagekit.verify.view import View, fact

_GRUB_FILES = ("/boot/grub/grub.cfg", "/boot/grub2/grub.cfg", "/boot/efi/EFI/debian/grub.cfg")
_LIMIT = 2 << 20
_LINUX = re.compile(r"\s*linux(?:16|efi)?\s+(\S+)\s*(.*)$")
_INITRD = re.compile(r"\s*initrd(?:16|efi)?\s+(.+?)\s*$")
_GRUB_VARIABLE = re.compile(r"\s*(?:export\s+)?(GRUB_CMDLINE_LINUX\w*|GRUB_\w+)\s*\+?=\s*(.*)$")
_SEARCH = re.compile(r"^\s*search(?:\.fs_uuid|\.fs_label|\.part_uuid|\s)")


@dataclass(frozen=True, slots=True)
class Entry:
    """One thing to boot: where it is written, kernel, initrds and arguments; ``on_esp`` says whose paths these are."""

    path: str
    kernel: str
    initrds: tuple[str, ...]
    arguments: tuple[str, ...]
    on_esp: bool = False


@dataclass(frozen=True, slots=True)
class Argument:
    """One word of a kernel command line and the file it stands in."""

    path: str
    text: str


@dataclass(frozen=True, slots=True)
class DiskName:
    """A filesystem or partition that a boot file names: ``kind`` is UUID, LABEL, PARTUUID or PARTLABEL."""

    path: str
    kind: str
    value: str
    why: str


@fact
def read_entries(view: View) -> tuple[Entry, ...]:
    """Return every boot entry in the order the files have them: the first one is what GRUB starts by default."""
    entries: list[Entry] = []
    for path in _GRUB_FILES:
        entries += _read_grub_entries(path, view.text(path, _LIMIT) or "", on_esp=False)
    entries += _read_specification_entries(view.tree, "/boot/loader/entries", on_esp=False)
    esp = view.esp() if view.has_disk else None
    if esp is not None:
        for path in find_esp_files(esp, ".cfg"):
            entries += _read_grub_entries(f"ESP:{path}", _read_text(esp, path), on_esp=True)
        entries += _read_specification_entries(esp, "/loader/entries", on_esp=True)
    return tuple(entries)


def find_esp_files(esp: FileTree, suffix: str) -> Iterator[str]:
    """Yield files below the ESP's ``/EFI``, ``/boot`` and ``/grub`` that end in ``suffix``, case ignored."""
    for top in ("/EFI", "/boot", "/grub"):
        node = esp.stat(top)
        if node is not None and node.type is FileType.DIRECTORY:
            for path, entry in esp.walk(top):
                if entry.type is FileType.FILE and path.lower().endswith(suffix):
                    yield path


def _read_text(tree: FileTree, path: str) -> str:
    return (tree.read(path, _LIMIT) or b"").decode("utf-8", "surrogateescape")


def _read_grub_entries(path: str, text: str, *, on_esp: bool) -> Iterator[Entry]:
    """Yield one entry for each ``linux`` command with the ``initrd`` that follows it."""
    kernel: tuple[str, tuple[str, ...]] | None = None
    for line in text.splitlines():
        if match := _LINUX.match(line):
            if kernel is not None:
                yield Entry(path, kernel[0], (), kernel[1], on_esp)
            kernel = (match.group(1).strip("\"'"), tuple(_split(match.group(2))))
        elif kernel is not None and (match := _INITRD.match(line)):
            yield Entry(path, kernel[0], tuple(_split(match.group(1))), kernel[1], on_esp)
            kernel = None
    if kernel is not None:
        yield Entry(path, kernel[0], (), kernel[1], on_esp)


def _read_specification_entries(tree: FileTree, directory: str, *, on_esp: bool) -> Iterator[Entry]:
    for name in reversed(tree.names(directory)):  # the newest version sorts last and is the default
        if not name.lower().endswith(".conf"):
            continue
        path = f"{directory}/{name}"
        kernel, initrds, arguments = "", [], []
        for line in _read_text(tree, path).splitlines():
            key, _, value = line.strip().partition(" ")
            match key:
                case "linux":
                    kernel = value.strip()
                case "initrd":
                    initrds.append(value.strip())
                case "options":
                    arguments += _split(value)
        if kernel:
            yield Entry(f"ESP:{path}" if on_esp else path, kernel, tuple(initrds), tuple(arguments), on_esp)


def _split(text: str) -> list[str]:
    """Split as a shell does; a line with an open quote is split at blanks."""
    try:
        return shlex.split(text)
    except ValueError:
        return text.split()


@fact
def read_grub_defaults(view: View) -> tuple[tuple[str, str, str], ...]:
    """Return file, name and value of each ``GRUB_*`` variable of ``/etc/default/grub`` and ``grub.d``, in order."""
    found = []
    for path in ("/etc/default/grub", *(name for name, _ in view.children("/etc/default/grub.d", ".cfg"))):
        for line in view.lines(path):
            if match := _GRUB_VARIABLE.match(line):
                found.append((path, match.group(1), " ".join(_split(match.group(2)))))
    return tuple(found)


@fact
def read_arguments(view: View) -> tuple[Argument, ...]:
    """Return every word of every kernel command line in the image, those of future kernels included."""
    found = [Argument(entry.path, word) for entry in read_entries(view) for word in entry.arguments]
    for path, name, value in read_grub_defaults(view):
        if name.startswith("GRUB_CMDLINE_LINUX"):
            found += [Argument(path, word) for word in value.split()]
    found += [Argument("/etc/kernel/cmdline", word) for word in _split(view.text("/etc/kernel/cmdline") or "")]
    return tuple(dict.fromkeys(found))


@fact
def read_disk_names(view: View) -> tuple[DiskName, ...]:
    """Return the filesystems and partitions that boot files name: ``search`` lines and ``root=``, each once."""
    found = []
    for argument in read_arguments(view):
        key, _, value = argument.text.partition("=")
        if key == "root" and (named := parse_device(value)):
            found.append(DiskName(argument.path, *named, "root="))
    for path in _GRUB_FILES:
        found += _read_searches(path, view.text(path, _LIMIT) or "")
    esp = view.esp() if view.has_disk else None
    if esp is not None:
        for path in find_esp_files(esp, ".cfg"):
            found += _read_searches(f"ESP:{path}", _read_text(esp, path))
    return tuple(dict.fromkeys(found))


def _read_searches(path: str, text: str) -> Iterator[DiskName]:
    """Yield what GRUB's ``search`` looks for: ``search --fs-uuid --set=root UUID``, ``search.fs_uuid UUID root``."""
    for line in text.splitlines():
        if not _SEARCH.match(line):
            continue
        command, *words = _split(line) or [""]
        values = [word for word in words if not word.startswith("-") and "$" not in word]
        # An option's value stands apart in `--set root`; hints are devices, never names.
        values = [word for position, word in enumerate(values) if not (word == "root" and len(values) > 1)]
        if not values:
            continue
        if command.endswith("fs_uuid") or {"--fs-uuid", "-u"} & set(words):
            yield DiskName(path, "UUID", values[-1] if command == "search" else values[0], "search")
        elif command.endswith("fs_label") or {"--label", "-l"} & set(words):
            yield DiskName(path, "LABEL", values[-1] if command == "search" else values[0], "search")
        elif command.endswith("part_uuid"):
            yield DiskName(path, "PARTUUID", values[0], "search")


def parse_device(text: str) -> tuple[str, str] | None:
    """Read ``UUID=…``, ``LABEL=…``, ``PARTUUID=…``, ``PARTLABEL=…`` or ``/dev/disk/by-…``; ``None`` for the rest."""
    text = text.strip("\"'")
    for kind in ("UUID", "LABEL", "PARTUUID", "PARTLABEL"):
        if text.startswith(f"{kind}="):
            return kind, text.partition("=")[2].strip("\"'")
        if text.startswith(directory := f"/dev/disk/by-{kind.lower()}/"):
            return kind, text.removeprefix(directory)
    return None
