"""Is a build reproducible: Nix builds it again and compares, and here it is said what differs, and where.

``nix build --rebuild`` needs the result of a first build and says no more than that an output differs. With
``--keep-failed`` the second result stays beside the first as ``<path>.check``; both are compared on the machine that
has them, file by file, packed images unpacked, down to the first byte and the partition it lies in. What is left there
is removed; what cannot be removed goes with Nix's next garbage collection.
"""

import contextlib
import re
from dataclasses import dataclass

from imagekit.build.nix.failure import explain_failure
from imagekit.build.nix.internal_json import NixLog
from imagekit.build.nix.tool import FEATURES, Nix, make_build_command
from imagekit.disk.partitions.table import read_partition_table
from imagekit.errors import HostFailed, ImageDamaged, ImagekitError, ToolFailed
from imagekit.host.host import Host
from imagekit.machine.serial import clean_text
from imagekit.progress import Event, Progress, silent

_DIFFERS = re.compile(r"may not be deterministic: output '(?P<out>[^'\n]+)' differs(?: from '(?P<check>[^'\n]+)')?")
# Where a failed build was kept: below the temporary directory, or below Nix's own since 2.30. A builder may print
# such a line too, so nothing else is ever removed.
_KEPT = re.compile(r"keeping build directory '(?P<path>/[^'\n]{1,4096})'")
_BUILD_DIRECTORY = re.compile(r"(?:/[^/]+)+/(?:nix-build-[^/]+\.drv-\d+|builds/nix-\d+-\d+)")
_STORE_NAME = re.compile(r"[0-9a-df-np-sv-z]{32}-[0-9A-Za-z+\-._?=]{1,211}")  # nix, src/libstore/path.cc
_SUM = re.compile(r"(\d{1,12}) (\d{1,18}) (/.+)")  # cksum(1p)
_AT = re.compile(r"differ: (?:byte|char) (\d{1,18})")  # cmp(1p) says char, GNU's and macOS's too, newer ones byte
_HEAD_BYTES = 1 << 20
_MOST_FILES = 20_000
_MOST_EXAMINED = 5
_COMPARE_PACKED = 'mkfifo "$2/a" && { "$1" -dcq -- "$3" > "$2/a" & "$1" -dcq -- "$4" | cmp "$2/a" - ; }'
_HEAD_PACKED = '"$1" -dcq -- "$2" | head -c "$3"'
_UNPACKERS = {".zst": "zstd", ".xz": "xz", ".gz": "gzip"}


@dataclass(frozen=True, slots=True)
class Difference:
    """One file that differs: ``path`` within the output, empty for the output itself; ``why`` says how, if not bytes.

    ``offset`` is the first byte that differs, of the unpacked image where ``unpacked`` says so; ``partition`` is the
    number of the one it lies in, 0 for none of them, ``None`` where there is no partition table.
    """

    path: str
    offset: int | None = None
    unpacked: bool = False
    partition: int | None = None
    why: str = ""

    def __str__(self) -> str:
        name = self.path or "the file itself"
        if self.why:
            return f"{name} ({self.why})"
        if self.offset is None:
            return name
        where = f"from byte {self.offset} on" + (" once unpacked" if self.unpacked else "")
        if self.partition is not None:
            where += f", in partition {self.partition}" if self.partition else ", outside the partitions"
        return f"{name} ({where})"


@dataclass(frozen=True, slots=True)
class Rebuild:
    """Two builds compared: ``output`` is the store path of which they gave different contents, empty when alike."""

    output: str = ""
    differences: tuple[Difference, ...] = ()

    @property
    def alike(self) -> bool:
        """Say whether both builds gave the same bytes."""
        return not self.output

    def __str__(self) -> str:
        if self.alike:
            return ""
        shown = "; ".join(str(each) for each in self.differences[:_MOST_EXAMINED])
        more = len(self.differences) - _MOST_EXAMINED
        rest = f"; and {more} more files" if more > 0 else ""
        return f"two builds differ: {shown}{rest}" if shown else f"two builds of {self.output} differ"


def verify_rebuild(host: Host, nix: Nix, installable: str, progress: Progress = silent) -> str:
    """Build ``installable`` again; return nothing when it gave the same bytes, else a sentence about what differs.

    Raises what :func:`rebuild_output` raises.
    """
    return str(rebuild_output(host, nix, installable, progress))


def rebuild_output(host: Host, nix: Nix, installable: str, progress: Progress = silent) -> Rebuild:
    """Build ``installable``, which was built before, again and compare.

    Only the derivation itself is built again, not what it is made of. Raises :class:`ToolFailed` and its siblings when
    the second build fails, or the first is not there.
    """
    progress(Event("building it again"))
    log = NixLog(progress)
    command = make_build_command(nix, installable, rebuild=True, keep_failed=True)
    done = host.run(command, environment=nix.environment, on_line=log.hear, check=False)
    if done.status == 0:
        return Rebuild()
    log.finish(done.errors)
    said = "\n".join([*log.errors, clean_text(done.errors)])
    match = _DIFFERS.search("\n".join(log.errors))
    try:
        if match is None:
            raise explain_failure(log, done.status, host.name)
        first, second = match.group("out"), match.group("check")
        if not _is_store_path(nix, first) or second != f"{first}.check":
            return Rebuild(first)
        progress(Event("comparing the two builds"))
        return Rebuild(first, compare_outputs(host, nix, first, second))
    finally:
        _remove_kept(host, nix, said, match.group("check") if match else None)


def compare_outputs(host: Host, nix: Nix, first: str, second: str) -> tuple[Difference, ...]:
    """Compare two store paths on ``host`` and return the files that differ, sorted by path; five of them by bytes.

    Nothing is returned when only links or modes differ, or when one of the two is gone.
    """
    sums, other = _sum_files(host, nix, first), _sum_files(host, nix, second)
    found = []
    for path in sorted({*sums, *other}):
        if path not in other or path not in sums:
            found.append(Difference(path, why="only in the " + ("first" if path in sums else "second") + " build"))
        elif sums[path] != other[path]:
            exact = len(found) < _MOST_EXAMINED
            found.append(_locate(host, nix, path, first + path, second + path) if exact else Difference(path))
    return tuple(
        Difference(each.path.lstrip("/"), each.offset, each.unpacked, each.partition, each.why) for each in found
    )


def _sum_files(host: Host, nix: Nix, top: str) -> dict[str, tuple[str, str]]:
    """Return checksum and length of every regular file below ``top``, by its path from there on."""
    argv = ["find", top, "-type", "f", "-exec", "cksum", "{}", "+"]
    done = host.run(argv, environment=nix.environment, check=False)
    sums = {}
    for line in done.output.decode(errors="surrogateescape").split("\n")[:_MOST_FILES]:
        match = _SUM.fullmatch(line)
        if match and (match.group(3) == top or match.group(3).startswith(f"{top}/")):
            sums[match.group(3)[len(top) :]] = (match.group(1), match.group(2))
    return sums


def _locate(host: Host, nix: Nix, path: str, first: str, second: str) -> Difference:
    """Return where two files differ; a packed one is unpacked where the host has the program for it."""
    packer = next((program for end, program in _UNPACKERS.items() if path.endswith(end)), "")
    program = host.find_program(packer) if packer else ""
    if program:
        with contextlib.suppress(HostFailed, ToolFailed):
            return _locate_packed(host, nix, path, program, first, second)
    done = host.run(["cmp", first, second], environment=nix.environment, check=False)
    offset = _read_offset(done.output)
    if offset is None or packer:
        return Difference(path, offset)
    head = host.run(["head", "-c", str(_HEAD_BYTES), first], environment=nix.environment, check=False).output
    return Difference(path, offset, partition=find_partition(head, offset))


def _locate_packed(host: Host, nix: Nix, path: str, program: str, first: str, second: str) -> Difference:
    directory = host.make_directory()
    try:
        argv = ["sh", "-c", _COMPARE_PACKED, "sh", program, directory, first, second]
        offset = _read_offset(host.run(argv, environment=nix.environment, check=False).output)
        if offset is None:
            return Difference(path, why="the packing differs, the contents do not")
        argv = ["sh", "-c", _HEAD_PACKED, "sh", program, first, str(_HEAD_BYTES)]
        head = host.run(argv, environment=nix.environment, check=False).output
        return Difference(path, offset, unpacked=True, partition=find_partition(head, offset))
    finally:
        host.remove_directory(directory)


def _read_offset(output: bytes) -> int | None:
    match = _AT.search(output[-4096:].decode(errors="replace"))
    return int(match.group(1)) - 1 if match else None


def find_partition(head: bytes, offset: int) -> int | None:
    """Return the number of the partition that byte ``offset`` of a disk lies in, 0 for none, ``None`` without a table.

    ``head`` is the beginning of the disk, a MiB: the table must be in it.
    """
    try:
        table = read_partition_table(_Head(head))
    except ImageDamaged:
        return None
    for partition in table.partitions:
        if partition.offset <= offset < partition.offset + partition.length:
            return partition.number
    return 0


@dataclass(frozen=True, slots=True)
class _Head:
    """A disk of which only the beginning is known; the rest reads as zeros."""

    data: bytes

    @property
    def size(self) -> int:
        return 1 << 50

    def read(self, offset: int, length: int) -> bytes:
        return self.data[offset : offset + length].ljust(min(length, _HEAD_BYTES), b"\0")


def _is_store_path(nix: Nix, path: str) -> bool:
    return path.startswith(f"{nix.store_dir}/") and _STORE_NAME.fullmatch(path[len(nix.store_dir) + 1 :]) is not None


def _remove_kept(host: Host, nix: Nix, said: str, check: str | None) -> None:
    """Remove what ``--keep-failed`` left, as far as this user may."""
    with contextlib.suppress(ImagekitError):
        for match in _KEPT.finditer(said):
            path = match.group("path").removesuffix("/build")
            if _BUILD_DIRECTORY.fullmatch(path) and "/../" not in path:
                host.run(["rm", "-rf", "--", path], check=False)
        if check is not None and check.endswith(".check") and _is_store_path(nix, check):
            argv = [nix.program, *FEATURES, "store", "delete", check]
            host.run(argv, environment=nix.environment, check=False)
