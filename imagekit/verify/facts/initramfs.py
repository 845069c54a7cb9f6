"""The default entry's initial RAM disk, unpacked in memory and only as far as somebody asks.

Unpacking a whole one costs 0.05 to 0.2 s. Both mkinitramfs(8) and dracut(8) sort the names, so settings, accounts and
keys (``conf``, ``etc``, ``root…``) come within the first kilobytes and programs and modules (``usr``) behind them.
"""

import re
import time
from collections.abc import Iterator
from dataclasses import dataclass

from imagekit.disk.cpio import ArchiveUnread, Member, read_initrd
from imagekit.errors import ImageDamaged
from imagekit.verify.facts.boot_entries import read_default_entry
from imagekit.verify.facts.boot_files import find_boot_file, name_module, read_kernel_version
from imagekit.verify.view import CannotSee, View, fact

# Where keys of volumes are kept (crypttab(5), Debian's cryptsetup-initramfs).
KEY_PLACES = ("cryptroot/keyfiles/", "etc/keys/", "etc/luks/", "etc/cryptsetup-keys.d/")
_SECRET_PLACES = (*KEY_PLACES, "etc/wireguard/")
_SECRET_NAMES = frozenset(
    ("authorized_keys", "authorized_keys2", "shadow", "shadow-", "passwd", "passwd-", "crypttab", "preseed.cfg")
)
_SECRET_ENDINGS = ("_key", ".pem", ".key", ".netdev", ".nmconnection")
_CONFIGURATION = ("conf/initramfs.conf", "conf/conf.d/")
_CONTENT = 64 << 10
_MOST_KEPT = 2000
_ASSIGNMENT = re.compile(r"\s*([A-Z_]+)=[\"']?([^\s\"'#]*)")


@dataclass(frozen=True, slots=True)
class Kept:
    """A member whose content was kept, and the initrd that holds it."""

    path: str
    member: Member


class Initramfs:
    """One boot's initrds together. Every method reads on from where the last one stopped.

    All raise :class:`CannotSee` for what cannot be read and :class:`ImageDamaged` for what is no initrd.
    """

    def __init__(self, paths: tuple[str, ...], version: str, members: Iterator[Kept]) -> None:
        self.paths = paths
        self.kept: list[Kept] = []
        self.modules: set[str] = set()
        self._version = version
        self._members = members
        self._problem: Exception | None = None
        self._archive = (-1, "")
        self._last = ""
        self._is_sorted = True
        self._has_init = False
        self._past_head = False

    def read_head(self) -> None:
        """Read until everything before the programs and modules was seen; to the end if the names are not sorted."""
        while not self._past_head and self._advance():
            pass

    def find_modules(self, wanted: frozenset[str]) -> frozenset[str]:
        """Read until all of the modules were seen, or to the end; return those that are there."""
        while not wanted <= self.modules and self._advance():
            pass
        return wanted & self.modules

    def read_all(self) -> None:
        """Read to the end."""
        while self._advance():
            pass

    def read_settings(self) -> dict[str, str]:
        """Return mkinitramfs's own settings, of which it keeps a copy inside; empty for another program's initrd."""
        self.read_head()
        values: dict[str, str] = {}
        for kept in self.kept:  # sorted: conf/conf.d comes before conf/initramfs.conf, and overrides it
            if kept.member.name.startswith(_CONFIGURATION):
                for line in kept.member.content.decode("utf-8", "replace").splitlines():
                    if match := _ASSIGNMENT.match(line):
                        if kept.member.name == _CONFIGURATION[0]:
                            values.setdefault(match.group(1), match.group(2))
                        else:
                            values[match.group(1)] = match.group(2)
        return values

    def _advance(self) -> bool:
        """Take in the next member; no when there is none. What went wrong once goes wrong again."""
        if self._problem is not None:
            raise self._problem
        try:
            kept = next(self._members, None)
        except (ArchiveUnread, ImageDamaged, CannotSee) as problem:
            self._problem = CannotSee(str(problem)) if isinstance(problem, ArchiveUnread) else problem
            raise self._problem from problem
        if kept is None:
            self._past_head = True
            return False
        member = kept.member
        if (member.archive, kept.path) != self._archive:
            self._archive, self._last, self._is_sorted, self._has_init = (member.archive, kept.path), "", True, False
        self._is_sorted = self._is_sorted and self._last <= member.name
        self._last = member.name
        self._has_init = self._has_init or member.name == "init"
        # The main archive is the one with /init; those before it are microcode or modules.
        self._past_head = self._past_head or (self._has_init and self._is_sorted and member.name >= "usr/")
        if member.content and len(self.kept) < _MOST_KEPT:
            self.kept.append(kept)
        if (name := name_module(member.name)) and (not self._version or f"modules/{self._version}/" in member.name):
            self.modules.add(name)
        return True


@fact
def open_initramfs(view: View) -> Initramfs:
    """Return the default entry's initrds, of which nothing is read yet.

    Raises :class:`CannotSee` when there is no entry, or when it names a file that does not exist.
    """
    entry = read_default_entry(view)
    if entry is None:
        raise CannotSee("no boot entry was found")
    files = []
    for path in entry.initrds:
        found = find_boot_file(view, entry, path)
        if found is None:
            raise CannotSee(f"the default entry's initrd {path} does not exist")
        files.append((found.path, found.tree))

    def alive() -> None:
        if view.deadline is not None and time.monotonic() > view.deadline:
            raise CannotSee("the time for this image ran out in its initrd")

    def read() -> Iterator[Kept]:
        for path, tree in files:
            parts = tree.parts(path)
            if parts is not None:
                for member in read_initrd(parts, _choose_length, alive=alive):
                    yield Kept(path, member)

    return Initramfs(tuple(path for path, _ in files), read_kernel_version(view), read())


def is_suspect(name: str) -> bool:
    """Say whether a member's content may be a secret."""
    base = name.rpartition("/")[2]
    return (
        base in _SECRET_NAMES
        or base.endswith(_SECRET_ENDINGS)
        or name.startswith(_SECRET_PLACES)
        or base.startswith(("wpa_supplicant", "id_"))
        or "keyfile" in base
    )


def _choose_length(name: str) -> int:
    return _CONTENT if name.startswith(_CONFIGURATION) or is_suspect(name.removeprefix("./")) else 0
