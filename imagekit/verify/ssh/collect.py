"""What runs on the machine that is verified over SSH: it describes files and reads small ones, and writes nothing.

This file is sent there without comments and annotations (:func:`imagekit.verify.ssh.script.make_script`), so it uses
what Python 3.6 has and nothing but the standard library. It starts no process. No symbolic link is followed: each
directory is opened below the one before it with O_NOFOLLOW (openat(2)), and who asks resolves links by what he is told.

A request is JSON: ``list`` (path, depth, size of files to read along), ``ask`` (paths: each component is described, a
small file at the end is read along, a directory listed), ``read`` (path, bytes), and the bounds ``entries``, ``bytes``,
``along`` (bytes of files that nobody named) and ``seconds``. An answer is one compressed block: a line of JSON
(``listings``, ``lookups``, ``contents``, ``mounts``, ``uid``), then the files' bytes in the order of ``contents``.
Paths travel as Latin-1 text of their bytes.
"""

from __future__ import annotations

import errno
import json
import os
import stat
import sys
import time
import zlib

DISKS = (
    "bcachefs", "btrfs", "ext2", "ext3", "ext4", "exfat", "f2fs", "jfs", "msdos", "nilfs2", "ntfs3", "overlay",
    "reiserfs", "vfat", "xfs", "zfs",
)  # fmt: skip
KINDS = {stat.S_IFREG: "f", stat.S_IFDIR: "d", stat.S_IFLNK: "l"}
PASS = getattr(os, "O_PATH", os.O_RDONLY) | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
LIST = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
ASKED_ENTRIES = 2000
ASKED_BYTES = 65536
MOST_NAMES = 100000


def read_mounts() -> list[list[str]]:
    """Return path and type of every mount (proc_pid_mountinfo(5)); the last one at a path is the one seen."""
    found = []
    try:
        with open("/proc/self/mountinfo", "rb") as file:  # noqa: PTH123 - the oldest Python that reads this
            for line in file.read(4 << 20).decode("latin-1").splitlines():
                before, _, after = line.partition(" - ")
                words = before.split()
                path = words[4]
                for code, sign in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
                    path = path.replace(code, sign)
                found.append([path, after.split()[0]])
    except (OSError, IndexError):
        pass
    return found


class Collector:
    """Answers one request within its bounds; ``root`` stands before every path."""

    def __init__(self, root: str, request: dict[str, object], mounts: list[list[str]]) -> None:
        self.root = os.fsencode(root)
        self.request = request
        self.mounts = mounts
        self.foreign = {path: kind for path, kind in mounts if kind not in DISKS and path != "/"}
        self.entries = int(str(request["entries"]))
        self.bytes = int(str(request["bytes"]))
        self.along = int(str(request["along"]))
        self.deadline = time.time() + float(str(request["seconds"]))
        self.listings: list[list[object]] = []
        self.lookups: list[list[object]] = []
        self.contents: list[list[object]] = []
        self.blobs: list[bytes] = []
        self.done: set[tuple[str, str]] = set()
        self.kinds: dict[str, str] = {}

    def collect(self) -> bytes:
        """Return the answer."""
        for path, limit in self.request["read"]:  # type: ignore[attr-defined] # JSON; it came from us
            self.read_path(path, limit)
        for path in self.request["ask"]:  # type: ignore[attr-defined] # the same
            self.ask(path)
        for path, depth, size in self.request["list"]:  # type: ignore[attr-defined] # the same
            self.list_below(path, depth, size, self.entries)
        head = {
            "uid": os.geteuid(),
            "mounts": self.mounts,
            "listings": self.listings,
            "lookups": self.lookups,
            "contents": self.contents,
        }
        return zlib.compress(json.dumps(head).encode() + b"\n" + b"".join(self.blobs), 4)

    def is_over(self) -> bool:
        """Say whether a bound is reached: what is missing then is asked for again."""
        return self.entries <= 0 or self.bytes <= 0 or time.time() > self.deadline

    def open_directory(self, path: str, last: int) -> int:
        """Open the directory at ``path`` name by name; the last one with the flags ``last``."""
        names = [name.encode("latin-1") for name in path.split("/") if name]
        descriptor = os.open(self.root or b"/", (PASS if names else last) & ~os.O_NOFOLLOW)
        for number, name in enumerate(names, 1):
            try:
                following = os.open(name, last if number == len(names) else PASS, dir_fd=descriptor)
            finally:
                os.close(descriptor)
            descriptor = following
        return descriptor

    def describe(self, name: bytes, descriptor: int) -> list[object]:
        """Return name, kind, mode, owner, group, size, time and, of a link, its text."""
        status = os.stat(name, dir_fd=descriptor, follow_symlinks=False)
        kind = KINDS.get(stat.S_IFMT(status.st_mode), "o")
        target = os.readlink(name, dir_fd=descriptor).decode("latin-1") if kind == "l" else ""
        mode = stat.S_IMODE(status.st_mode)
        row: list[object] = [name.decode("latin-1"), kind, mode, status.st_uid, status.st_gid]
        return [*row, status.st_size, int(status.st_mtime), target]

    def ask(self, path: str) -> None:
        """Describe every component of a path until one is absent or no directory; look into what is at its end."""
        names = [name for name in path.split("/") if name]
        here = ""
        for number, name in enumerate(names, 1):
            parent, here = here or "/", here + "/" + name
            kind = self.kinds.get(here) if ("lookup", here) in self.done else self.look_up(parent, name, here)
            if kind == "f" and number == len(names):
                self.read_path(here, ASKED_BYTES, whole=True)
            if kind != "d" or here in self.foreign:
                break
        else:
            self.list_below(here or "/", 1, ASKED_BYTES // 4, ASKED_ENTRIES)

    def look_up(self, parent: str, name: str, path: str) -> str | None:
        """Describe one entry of a directory; its kind, ``None`` for an absent one."""
        self.done.add(("lookup", path))
        self.entries -= 1
        try:
            descriptor = self.open_directory(parent, PASS)
            try:
                row = self.describe(name.encode("latin-1"), descriptor)
            finally:
                os.close(descriptor)
        except OSError as problem:
            gone = problem.errno in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG)
            self.lookups.append([path, "" if gone else explain(problem), None])
            return None
        self.lookups.append([path, "", row])
        self.kinds[path] = str(row[1])
        return str(row[1])

    def list_below(self, top: str, depth: int, size: int, most: int) -> None:
        """List ``top`` and what is below it, breadth first, reading files of up to ``size`` bytes along."""
        pending = [(top, 1)]
        while pending and not self.is_over():
            path, level = pending.pop(0)
            if ("list", path) in self.done:
                continue
            self.done.add(("list", path))
            rows = self.list_one(path, size)
            most -= len(rows)
            if most < 0:
                break
            if level < depth:
                below = [path.rstrip("/") + "/" + str(row[0]) for row in rows if row[1] == "d"]
                pending.extend((each, level + 1) for each in below)

    def list_one(self, path: str, size: int) -> list[list[object]]:
        """List one directory, whole or not at all."""
        if path in self.foreign:
            self.listings.append([path, "mount " + self.foreign[path], []])
            return []
        rows = []
        try:
            descriptor = self.open_directory(path, LIST)
            try:
                names = sorted(os.listdir(descriptor))  # noqa: PTH208 - pathlib cannot list a descriptor
                if len(names) > MOST_NAMES:
                    raise OSError(errno.EFBIG, "too many entries")
                for name in names:
                    try:
                        rows.append(self.describe(os.fsencode(name), descriptor))
                    except FileNotFoundError:  # removed since it was listed
                        continue
                self.listings.append([path, "", rows])
                self.entries -= len(rows)
                for row in rows:
                    if row[1] == "f" and int(str(row[5])) <= min(size, self.along):
                        self.along -= int(str(row[5]))
                        below = path.rstrip("/") + "/" + str(row[0])
                        self.read_open(below, str(row[0]).encode("latin-1"), descriptor, size + 1)
            finally:
                os.close(descriptor)
        except OSError as problem:
            self.listings.append([path, explain(problem), []])
            return []
        return rows

    def read_path(self, path: str, limit: int, whole: bool = False) -> None:
        """Read a regular file by its path; with ``whole`` only one that is not longer than ``limit``."""
        parent, _, name = path.rpartition("/")
        try:
            descriptor = self.open_directory(parent, PASS)
            try:
                raw = name.encode("latin-1")
                if not whole or os.stat(raw, dir_fd=descriptor, follow_symlinks=False).st_size <= limit:
                    self.read_open(path, raw, descriptor, limit + 1 if whole else limit)
            finally:
                os.close(descriptor)
        except OSError as problem:
            self.contents.append([path, explain(problem), 0, False])

    def read_open(self, path: str, name: bytes, directory: int, limit: int) -> None:
        """Read up to ``limit`` bytes of a file of an open directory; regular files only."""
        if ("read", path) in self.done or self.is_over() or limit > self.bytes:
            return
        self.done.add(("read", path))
        try:
            try:
                descriptor = os.open(name, READ | getattr(os, "O_NOATIME", 0), dir_fd=directory)
            except PermissionError:  # O_NOATIME is for owner and root
                descriptor = os.open(name, READ, dir_fd=directory)
            with os.fdopen(descriptor, "rb", buffering=0) as file:
                if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                    return
                data = b""
                while len(data) < limit:
                    piece = file.read(min(limit - len(data), 1 << 20))
                    if not piece:
                        break
                    data += piece
        except OSError as problem:
            self.contents.append([path, explain(problem), 0, False])
            return
        self.bytes -= len(data)
        self.contents.append([path, "", len(data), len(data) < limit])
        self.blobs.append(data)


def explain(problem: OSError) -> str:
    """Return ``denied`` for a lack of rights, else the error's name."""
    if problem.errno in (errno.EACCES, errno.EPERM):
        return "denied"
    return errno.errorcode.get(problem.errno or 0, "EIO")


def serve(mark: str) -> None:
    """Answer requests from standard input until it ends; each is a line with its length, then JSON."""
    mounts = read_mounts()
    while True:
        line = sys.stdin.buffer.readline()
        if not line:
            return
        request = json.loads(sys.stdin.buffer.read(int(line)).decode())
        data = Collector("", request, mounts).collect()
        sys.stdout.buffer.write(f"\n{mark} {len(data)} ok\n".encode() + data)
        sys.stdout.buffer.flush()
