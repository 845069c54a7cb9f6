"""What the boot loader would start: entries, kernel command lines, and the names of disks in them.

Read from GRUB's generated ``grub.cfg``, Boot Loader Specification entries (uapi-group.org/specifications),
``/etc/default/grub`` (with ``grub.d``), ``/etc/kernel/cmdline`` and, when the view has it, the EFI system partition.
"""

import fnmatch
import itertools
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass, replace

from imagekit.disk.tree import FileTree, FileType
from imagekit.verify.view import View, fact

_GRUB_FILES = ("/boot/grub/grub.cfg", "/boot/grub2/grub.cfg")
_EXTLINUX = "/boot/extlinux/extlinux.conf"
_GRUB_ENVIRONMENTS = ("/boot/grub/grubenv", "/boot/grub2/grubenv")
_LIMIT = 2 << 20
_MOST_VARIABLES = 256
_MOST_ENTRIES = 256
_LONGEST_PATTERN = 256
_DEEPEST_MENU = 64
_LINUX = re.compile(r"\s*linux(?:16|efi)?\s+(\S+)\s*(.*)$")
_INITRD = re.compile(r"\s*initrd(?:16|efi)?\s+(.+?)\s*$")
_GRUB_VARIABLE = re.compile(r"\s*(?:export\s+)?(GRUB_CMDLINE_LINUX\w*|GRUB_\w+)\s*\+?=\s*(.*)$")
_DEFAULT = re.compile(r"\s*set\s+default=(.*)$")
_VARIABLE = re.compile(r"\$(?:\{(\w+)\}|(\w+))")
_NUMBERS = re.compile(r"([0-9]+)")
_SEARCH = re.compile(r"^\s*search(?:\.fs_uuid|\.fs_label|\.part_uuid|\s)")


@dataclass(frozen=True, slots=True)
class Entry:
    """One thing to boot: where it is written, kernel, initrds and arguments; ``on_esp`` says whose paths these are.

    ``keys`` has, for each level of the menu, the names by which a default can mean it: number, title and id.
    """

    path: str
    kernel: str
    initrds: tuple[str, ...]
    arguments: tuple[str, ...]
    on_esp: bool = False
    keys: tuple[frozenset[str], ...] = ()


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
    """Return every boot entry in the order of the files; :func:`read_default_entry` says which one is started."""
    entries: list[Entry] = []
    for path, text in read_grub_files(view):
        entries += _read_grub_entries(path, text)
    environment = read_grub_environment(view)
    entries += _read_specification_entries(view.tree, "/boot/loader/entries", environment, on_esp=False)
    esp = view.esp() if view.has_disk else None
    if esp is not None:
        entries += _read_specification_entries(esp, "/loader/entries", environment, on_esp=True)
    return tuple(entries)


@fact
def read_default_entry(view: View) -> Entry | None:
    """Return what the loader starts when nobody touches its menu; ``None`` when there is no entry at all.

    GRUB's ``default`` is a number, title or id, for submenus several joined with ``>``; what matches nothing means the
    first entry (GRUB manual, "default"; grub-core/normal/menu.c). loader.conf(5)'s is a pattern of file names.
    """
    entries = read_entries(view)
    wanted = _read_wanted(view)
    for entry in entries:
        if _is_meant(entry, wanted):
            return entry
    return entries[0] if entries else None


def _read_wanted(view: View) -> str:
    """Return the effective ``default``, variables filled in from grubenv; empty when nothing says which."""
    environment = read_grub_environment(view)
    if environment.get("next_entry"):  # for one boot only, and the clone's first boot is that one
        return environment["next_entry"]
    wanted = ""
    for _, text in read_grub_files(view):
        for line in text.splitlines():
            if match := _DEFAULT.match(line):
                # Both branches of grub-mkconfig's `if` are seen; the one for next_entry expands to nothing here.
                value = _expand(" ".join(_split(match.group(1))), environment)
                wanted = value if value else wanted
    if wanted or read_grub_files(view):
        return wanted
    esp = view.esp() if view.has_disk else None
    trees = [(view.tree, "/boot/loader/loader.conf"), *([(esp, "/loader/loader.conf")] if esp is not None else [])]
    for tree, path in trees:
        for line in _read_text(tree, path).splitlines():
            key, _, value = line.strip().partition(" ")
            if key == "default" and value.strip():
                return value.strip().removesuffix(".conf")
    return ""


def _is_meant(entry: Entry, wanted: str) -> bool:
    if not wanted or not entry.keys:
        return False
    levels = [part.replace(">>", ">") for part in re.split(r"(?<!>)>(?!>)", wanted)]
    if len(levels) <= len(entry.keys) and all(level in keys for level, keys in zip(levels, entry.keys, strict=False)):
        return True
    return len(wanted) <= _LONGEST_PATTERN and any(fnmatch.fnmatchcase(key, wanted) for key in entry.keys[0])


@fact
def read_grub_files(view: View) -> tuple[tuple[str, str], ...]:
    """Return path and text of every GRUB configuration; the ESP's from the ESP itself where the view has one."""
    esp = view.esp() if view.has_disk else None
    paths = list(_GRUB_FILES)
    if esp is None:
        paths += [f"/boot/efi/EFI/{name}/grub.cfg" for name in view.tree.names("/boot/efi/EFI")]
    found = [(path, text) for path in paths if (text := view.text(path, _LIMIT))]
    if esp is not None:
        found += [(f"ESP:{path}", _read_text(esp, path)) for path in find_esp_files(esp, ".cfg")]
    return tuple(found)


@fact
def read_grub_environment(view: View) -> dict[str, str]:
    """Return the variables that GRUB keeps between boots (``grubenv``, grub-editenv(1))."""
    values: dict[str, str] = {}
    for path in _GRUB_ENVIRONMENTS:
        for line in view.lines(path)[:_MOST_VARIABLES]:
            name, equals, value = line.partition("=")
            if equals and not name.startswith("#"):
                values[name.strip()] = value.strip()
    return values


def _expand(text: str, variables: dict[str, str]) -> str:
    return _VARIABLE.sub(lambda match: variables.get(match.group(1) or match.group(2), ""), text)


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


class _Menu:
    """Where in GRUB's menu a line stands: each open ``menuentry`` and ``submenu``, numbered from 0 on its level."""

    def __init__(self) -> None:
        self._open: list[frozenset[str] | None] = []
        self._counts = [0]
        self._ignored = 0

    @property
    def keys(self) -> tuple[frozenset[str], ...]:
        return tuple(keys for keys in self._open if keys is not None)

    def follow(self, line: str) -> None:
        """Take note of a line that opens or closes a block."""
        if line == "}" and self._ignored:
            self._ignored -= 1
        elif line == "}" and self._open:
            if self._open.pop() is not None:
                self._counts.pop()
        elif line.endswith("{"):
            if len(self._open) >= _DEEPEST_MENU:
                self._ignored += 1
                return
            if not line.startswith(("menuentry ", "submenu ", "menuentry\t", "submenu\t")):
                self._open.append(None)
                return
            words = _split(line[:-1])[1:]
            names = {str(self._counts[-1]), *words[:1]}
            for option, value in itertools.pairwise(words):
                if option in ("--id", "$menuentry_id_option", "${menuentry_id_option}"):
                    names.add(value)
            self._counts[-1] += 1
            self._counts.append(0)
            self._open.append(frozenset(names))


def _read_grub_entries(path: str, text: str) -> Iterator[Entry]:
    """Yield one entry for each ``linux`` command with the ``initrd`` that follows it."""
    on_esp = path.startswith("ESP:")
    kernel: Entry | None = None
    menu = _Menu()
    for line in text.splitlines():
        if match := _LINUX.match(line):
            if kernel is not None:
                yield kernel
            words = tuple(_split(match.group(2)))
            kernel = Entry(path, match.group(1).strip("\"'"), (), words, on_esp, menu.keys)
        elif kernel is not None and (match := _INITRD.match(line)):
            yield replace(kernel, initrds=tuple(_split(match.group(1))))
            kernel = None
        else:
            menu.follow(line.strip())
    if kernel is not None:
        yield kernel


def _read_specification_entries(
    tree: FileTree, directory: str, environment: dict[str, str], *, on_esp: bool
) -> Iterator[Entry]:
    """Yield the entries of a directory, newest version first; GRUB's ``blscfg`` numbers them in that order too."""
    names = [name for name in tree.names(directory) if name.lower().endswith(".conf")]
    for number, name in enumerate(sorted(names, key=_split_version, reverse=True)[:_MOST_ENTRIES]):
        path = f"{directory}/{name}"
        kernel, title, initrds, arguments = "", "", [], []
        for line in _read_text(tree, path).splitlines():
            key, _, value = line.strip().partition(" ")
            match key:
                case "title":
                    title = value.strip()
                case "linux":
                    kernel = value.strip()
                case "initrd":
                    initrds += [_expand(word, environment) for word in _split(value) if _expand(word, environment)]
                case "options":
                    arguments += _split(_expand(value, environment))
        if kernel:
            keys = frozenset({str(number), name[: -len(".conf")], title} - {""})
            place = f"ESP:{path}" if on_esp else path
            yield Entry(place, kernel, tuple(initrds), tuple(arguments), on_esp, (keys,))


def _split_version(name: str) -> tuple[str | int, ...]:
    """Split into text and numbers, so that 6.10 is newer than 6.9."""
    return tuple(int(part) if part.isdecimal() and part.isascii() else part for part in _NUMBERS.split(name[:256]))


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
    for line in view.lines(_EXTLINUX):  # U-Boot's, whose entries are not read here
        keyword, *words = line.split() or [""]
        found += [Argument(_EXTLINUX, word) for word in words if keyword.lower() == "append"]
    return tuple(dict.fromkeys(found))


@fact
def read_disk_names(view: View) -> tuple[DiskName, ...]:
    """Return the filesystems and partitions that boot files name: ``search`` lines and ``root=``, each once."""
    found = []
    for argument in read_arguments(view):
        key, _, value = argument.text.partition("=")
        if key == "root" and (named := parse_device(value)):
            found.append(DiskName(argument.path, *named, "root="))
    for path, text in read_grub_files(view):
        found += _read_searches(path, text)
    return tuple(dict.fromkeys(found))


def _read_searches(path: str, text: str) -> Iterator[DiskName]:
    """Yield what GRUB's ``search`` looks for: ``search --fs-uuid --set=root UUID``, ``search.fs_uuid UUID root``."""
    for line in text.splitlines():
        if not _SEARCH.match(line):
            continue
        command, *words = _split(line) or [""]
        values = [word for word in words if not word.startswith("-") and "$" not in word]
        # An option's value stands apart in `--set root`; hints are devices, never names.
        if command == "search" and len(values) > 1:
            values = [word for word in values if word != "root"]
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
            # PARTUUID=…/PARTNROFF=1 means a neighbour of the named partition (the kernel's block/early-lookup.c).
            return kind, text.partition("=")[2].strip("\"'").partition("/PARTNROFF=")[0]
        if text.startswith(directory := f"/dev/disk/by-{kind.lower()}/"):
            return kind, text.removeprefix(directory)
    return None
