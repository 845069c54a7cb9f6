"""This machine as a host: what :mod:`imagekit.host.host` promises, by local means."""

import contextlib
import hashlib
import os
import shutil
import stat
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Self

from imagekit.errors import HostFailed, Refused, ToolMissing
from imagekit.host.host import BUILD_PREFIX, BUILDS, NIX_PLACES, SWEEP_DAYS
from imagekit.host.local import Completed, run
from imagekit.host.tools import explain_install
from imagekit.host.tree import check_tree


class ThisMachine:
    """The machine imagekit runs on, as a :class:`imagekit.host.host.Host`."""

    def __init__(self) -> None:
        self._made: set[str] = set()

    @property
    def name(self) -> str:
        """``this machine``."""
        return "this machine"

    def run(
        self,
        argv: Sequence[str],
        *,
        environment: Mapping[str, str] | None = None,
        stdin: bytes | None = None,
        on_line: Callable[[str], None] | None = None,
        timeout: float | None = None,
        check: bool = True,
    ) -> Completed:
        """Run ``argv``; see :meth:`imagekit.host.host.Host.run`."""
        program = self.find_program(argv[0])
        if not program:
            raise ToolMissing(f"{argv[0]} is not installed", hint=explain_install(Path(argv[0]).name))
        return run(
            [program, *argv[1:]],
            environment={"PATH": _list_places(), **(environment or {})},
            stdin=stdin,
            on_line=on_line,
            timeout=timeout,
            check=check,
        )

    def find_program(self, name: str) -> str:
        """Return the absolute path of a program, empty when it is missing."""
        found = shutil.which(name, path=_list_places())
        return os.path.abspath(found) if found else ""  # noqa: PTH100 - a link's own place counts: profiles are links

    def make_directory(self) -> str:
        """Make a fresh private directory in the user's cache, and sweep away what crashes left there."""
        builds = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / BUILDS
        with _explained(builds):
            builds.mkdir(parents=True, exist_ok=True)
            for left in builds.glob(f"{BUILD_PREFIX}*"):
                with contextlib.suppress(OSError):
                    if time.time() - left.lstat().st_mtime > SWEEP_DAYS * 86400:
                        _remove_tree(left)
            made = tempfile.mkdtemp(prefix=BUILD_PREFIX, dir=builds)
        self._made.add(made)
        return made

    def remove_directory(self, directory: str) -> None:
        """Remove a directory of :meth:`make_directory`; raises :class:`Refused` for any other."""
        if directory not in self._made:
            raise Refused(f"{directory} is not a directory that imagekit made on {self.name}; it is not removed")
        with _explained(Path(directory)):
            _remove_tree(Path(directory))
        self._made.discard(directory)

    def put_tree(self, source: Path, directory: str) -> None:
        """Copy what is in ``source`` into ``directory``."""
        check_tree(source)
        with _explained(Path(directory)):
            if not Path(directory).is_dir():
                raise HostFailed(f"{directory} is not a directory on {self.name}")
            for place, inner, files in os.walk(source):
                target = Path(directory) / Path(place).relative_to(source)
                target.mkdir(exist_ok=True)
                for each in (*inner, *files):
                    found, copy = Path(place) / each, target / each
                    if found.is_symlink():
                        copy.unlink(missing_ok=True)
                        copy.symlink_to(found.readlink())
                    elif found.is_file():
                        shutil.copyfile(found, copy)
                        copy.chmod(0o755 if found.stat().st_mode & stat.S_IXUSR else 0o644)

    def read_file(self, path: str, *, limit: int) -> bytes:
        """Return a file's bytes, at most ``limit``."""
        with _explained(Path(path)), Path(path).open("rb") as file:
            data = file.read(limit + 1)
        if len(data) > limit:
            raise HostFailed(f"{path} on {self.name} has more than {limit} bytes")
        return data

    def measure_file(self, path: str) -> int:
        """Return a file's length."""
        with _explained(Path(path)):
            found = Path(path).stat()
        if not stat.S_ISREG(found.st_mode):
            raise HostFailed(f"{path} on {self.name} is not a file")
        return found.st_size

    def digest_file(self, path: str) -> str:
        """Return a file's SHA-256."""
        with _explained(Path(path)), Path(path).open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()

    def free_bytes(self, path: str) -> int:
        """Return how much room is left where ``path`` is, or will be."""
        place = Path(path)
        while not place.exists() and place != place.parent:
            place = place.parent
        with _explained(place):
            return shutil.disk_usage(place).free

    def fetch_file(
        self,
        path: str,
        destination: Path,  # noqa: ARG002 - what is here already needs no second place
        *,
        size: int,
        on_bytes: Callable[[int], None] | None = None,
    ) -> Path:
        """Return ``path`` itself, once it has the right length."""
        if (found := self.measure_file(path)) != size:
            raise HostFailed(f"{path} on {self.name} has {found} bytes, not {size}")
        if on_bytes is not None:
            on_bytes(size)
        return Path(path)

    def close(self) -> None:
        """Do nothing: there is no connection."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _list_places() -> str:
    """Return the PATH under which programs are found: the operator's own first."""
    home, user = os.fspath(Path.home()), os.environ.get("USER", "")
    added = (place.replace("$HOME", home).replace("$USER", user) for place in NIX_PLACES)
    return os.pathsep.join([os.environ.get("PATH") or os.defpath, *added])


def _remove_tree(directory: Path) -> None:
    """Remove a tree, also one whose directories may not be written to, as copies out of a Nix store are."""
    for place, _inner, _files in os.walk(directory):
        Path(place).chmod(0o700)
    shutil.rmtree(directory)


@contextlib.contextmanager
def _explained(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as problem:
        raise HostFailed(f"{problem.filename or path} on this machine: {problem.strerror or problem}") from problem
