"""apt in a room of its own: which packages a build needs, exactly, and their files in a cache shared by all builds.

apt runs on a private state directory, so the machine's own package lists are neither needed nor touched. Everything
that crosses the network happens here, before the first file of the image exists; the steps after this one need none.
"""

import contextlib
import os
import re
import shutil
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

from imagekit.build.apt_sources import AptSource
from imagekit.build.space import is_full
from imagekit.errors import DefinitionInvalid, HostFailed, ToolFailed
from imagekit.host import run
from imagekit.progress import Event, Progress

_URI_LINE = re.compile(r"'(?P<uri>[^']+)' (?P<file>\S+) (?P<size>\d+) SHA256:(?P<sha256>[0-9a-f]{64})")
_UNKNOWN = re.compile(r"E: (?:Unable to locate package |Package '|Couldn't find any package by \w+ ')(?P<name>[^\s']+)")
_NETWORK = (
    "Could not resolve",
    "Temporary failure resolving",
    "Could not connect",
    "Connection timed out",
    "Network is unreachable",
    "Failed to fetch",
    "Cannot initiate the connection",
    "Connection refused",
)
_SIGNATURE = ("is not signed", "NO_PUBKEY", "EXPKEYSIG", "BADSIG")
# What of the machine's apt configuration a download needs: proxies, TLS, time-outs. Nothing that runs commands.
_CARRIED = re.compile(r"(?i)Acquire::(?:https?|ftp|Retries|ForceIPv4|ForceIPv6|Check-Valid-Until)(?:::|\s)")
_EXECUTES = re.compile(r"(?i)proxy-?auto-?detect")


@dataclass(frozen=True, slots=True)
class PlannedPackage:
    """One package file that will be installed; ``size`` in bytes, ``sha256`` as the signed package index gives it."""

    file: str
    size: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Supplies:
    """What one build installs from, fixed for it: package files, signed indexes, and the sources file they go with."""

    packages: Path
    lists: Path
    sources_list: Path


@dataclass(frozen=True, slots=True)
class AptRoom:
    """A private apt for one release and architecture: its configuration file, lists, and the shared package files."""

    directory: Path
    archives: Path
    sources: tuple[AptSource, ...]

    @property
    def configuration(self) -> Path:
        """The file that ``APT_CONFIG`` names (apt.conf(5))."""
        return self.directory / "apt.conf"

    @property
    def lists(self) -> Path:
        """Where the package indexes are."""
        return self.directory / "state/lists"

    @property
    def sources_list(self) -> Path:
        """The one-line sources file of this room."""
        return self.directory / "etc/sources.list"

    def environment(self) -> dict[str, str]:
        """Return what apt's programs need to work in this room."""
        return {"APT_CONFIG": os.fspath(self.configuration)}


def read_machine_options() -> tuple[str, ...]:
    """Return the machine's apt settings about how packages are fetched, as lines of apt.conf, none that runs a program.

    An ``APT_CONFIG`` of the operator's counts, as it does for apt itself.
    """
    own = {"APT_CONFIG": os.environ["APT_CONFIG"]} if "APT_CONFIG" in os.environ else {}
    dump = run(["apt-config", "dump"], environment=own).output.decode(errors="replace")
    return tuple(line for line in dump.splitlines() if _CARRIED.match(line) and not _EXECUTES.search(line))


def open_room(cache: Path, release: str, architecture: str, sources: Sequence[AptSource]) -> AptRoom:
    """Make (or find again) the private apt below ``cache``; the directory is closed to other users.

    The machine's credentials (apt_auth.conf(5)) and pinned keys are used where they are and never copied.
    """
    room = AptRoom(cache / "apt" / f"{release}-{architecture}", cache / "packages", tuple(sources))
    parts = ("etc/apt.conf.d", "etc/preferences.d", "etc/sources.list.d", "state/lists/partial", "cache/none/partial")
    for part in parts:
        (room.directory / part).mkdir(parents=True, exist_ok=True)
    (room.archives / "partial").mkdir(parents=True, exist_ok=True)
    room.directory.chmod(0o700)
    (room.directory / "state/status").write_text("")
    room.sources_list.write_text("".join(f"{source.format_line()}\n" for source in sources))
    options = {
        "Dir": room.directory,
        "Dir::Etc": room.directory / "etc",
        "Dir::Etc::trusted": "/etc/apt/trusted.gpg",
        "Dir::Etc::trustedparts": "/etc/apt/trusted.gpg.d",
        "Dir::Etc::netrc": "/etc/apt/auth.conf",
        "Dir::Etc::netrcparts": "/etc/apt/auth.conf.d",
        "Dir::State": room.directory / "state",
        "Dir::State::status": room.directory / "state/status",
        "Dir::Cache": room.directory / "cache",
        "Dir::Cache::archives": room.archives,
        "APT::Architecture": architecture,
        "APT::Architectures": architecture,
        "APT::Install-Recommends": "false",
        "APT::Sandbox::User": "",  # the room is closed to _apt, and packages are checked by signature and digest
        "Acquire::Languages": "none",
        "Acquire::ForceHash": "SHA256",
        "Acquire::Retries": "2",
    }
    lines = [f'{key} "{value}";' for key, value in options.items()]
    room.configuration.write_text("\n".join([*lines, *read_machine_options(), ""]))
    room.configuration.chmod(0o600)
    return room


@contextlib.contextmanager
def _explained() -> Iterator[None]:
    """Turn apt's own words into ours where the cause is known: an unknown package, a network that is not there."""
    try:
        yield
    except ToolFailed as problem:
        if is_full(problem):
            raise  # apt says "Failed to fetch" of a full disk too
        if any(sign in problem.detail for sign in _SIGNATURE):
            raise HostFailed(
                f"the mirror's signature cannot be verified: {_first_error(problem.detail)}",
                hint="upgrade debian-archive-keyring, and look at /etc/apt/sources.list",
            ) from problem
        if unknown := sorted({match["name"] for match in _UNKNOWN.finditer(problem.detail)}):
            raise DefinitionInvalid(
                f"Debian has no package {', '.join(repr(name) for name in unknown)}",
                hint="look at 'packages' in imagekit.toml; 'apt search WORD' finds the right name",
            ) from problem
        if any(sign in problem.detail for sign in _NETWORK):
            raise HostFailed(
                f"packages cannot be fetched: {_first_error(problem.detail)}",
                hint="check the network and /etc/apt/sources.list, then run the same command again; "
                "what is already here is kept",
            ) from problem
        raise


def _first_error(detail: str) -> str:
    """Return apt's first error line without its mark."""
    return next((line[2:].strip() for line in detail.splitlines() if line.startswith(("E:", "W:"))), detail[:200])


def update_lists(room: AptRoom) -> None:
    """Fetch the package indexes; raises :class:`HostFailed` when the network does not allow it.

    A failed index is an error here: apt-get(8) itself would warn and go on with yesterday's.
    """
    with _explained():
        run(["apt-get", "-q", "-o", "APT::Update::Error-Mode=any", "update"], environment=room.environment())


def plan_packages(room: AptRoom, names: Sequence[str]) -> tuple[PlannedPackage, ...]:
    """Return every package file that installing ``names`` into an empty system takes, sorted by file name.

    Raises :class:`DefinitionInvalid` naming the packages that do not exist.
    """
    with _explained():
        # apt prints no line for a file that it has already, so it is shown an empty archive.
        empty = f"Dir::Cache::archives={room.directory}/cache/none"
        argv = ["apt-get", "-q", "--yes", "-o", empty, "--print-uris", "install", "--", *names]
        said = run(argv, environment=room.environment())
    found: dict[str, PlannedPackage] = {}
    for line in said.output.decode().splitlines():
        if match := _URI_LINE.match(line):
            found[match["file"]] = PlannedPackage(match["file"], int(match["size"]), match["sha256"])
    if not found:
        raise ToolFailed("apt-get planned no package at all", detail=said.errors)
    return tuple(found[name] for name in sorted(found))


def fetch_packages(room: AptRoom, plan: Sequence[PlannedPackage], names: Sequence[str], progress: Progress) -> None:
    """Bring the planned files into the cache; what is there already is not fetched again.

    apt checks each file's SHA-256 against the signed index before it gets its final name, so a crash leaves only
    ``partial/``, which apt resumes.
    """
    missing = [package for package in plan if not (room.archives / package.file).is_file()]
    total = sum(package.size for package in missing)
    if not missing:
        return
    progress(Event("fetching packages", 0, total, "B", f"{len(missing)} of {len(plan)}"))
    done = 0

    def count(line: str) -> None:
        nonlocal done
        if line.startswith("Get:") and (size := re.search(r"\[([\d,.]+) (k?M?B)\]", line)):
            done += int(float(size[1].replace(",", "")) * {"B": 1, "kB": 1000, "MB": 1_000_000}[size[2]])
            progress(Event("fetching packages", min(done, total), total, "B"))

    with _explained():
        # apt reports its progress on standard output, and run() listens to standard error.
        download = ["apt-get", "-q", "--yes", "--download-only", "install", "--", *names]
        run(["sh", "-c", 'exec "$@" >&2', "sh", *download], environment=room.environment(), on_line=count)
    for package in plan:
        if not (room.archives / package.file).is_file():
            raise ToolFailed(f"apt-get did not bring {package.file}")


def take_supplies(room: AptRoom, plan: Sequence[PlannedPackage], directory: Path) -> Supplies:
    """Link the planned files and the indexes they come from into ``directory``, out of reach of other builds.

    The planned files' times become now: the cache keeps what was used last.
    """
    supplies = Supplies(directory / "packages", directory / "lists", directory / "sources.list")
    supplies.packages.mkdir()
    supplies.lists.mkdir()
    now = time.time()
    for package in plan:
        os.utime(room.archives / package.file, (now, now))
        _link(room.archives / package.file, supplies.packages / package.file)
    for index in room.lists.glob("*_*"):
        _link(index, supplies.lists / index.name)
    supplies.sources_list.touch(0o600)  # it may hold a mirror's password
    supplies.sources_list.write_text(room.sources_list.read_text())
    return supplies


def _link(source: Path, target: Path) -> None:
    """Give ``source`` a second name; copy where the filesystem is another one or has no links."""
    try:
        target.hardlink_to(source)
    except OSError:
        shutil.copyfile(source, target)


def package_name(file: str) -> tuple[str, str, str]:
    """Split a package file's name into name, version and architecture (deb(7); ``:`` is written ``%3a``)."""
    name, version, architecture = file.removesuffix(".deb").split("_", 2)
    return name, unquote(version), architecture


def read_build_time(file: Path) -> int:
    """Return when a package file was built, in seconds since 1970: no file in it is newer.

    dpkg-deb(1) writes its ``SOURCE_DATE_EPOCH`` into the ar members' headers and lowers later times in the package to
    it (deb(5); ar's header has the time as 12 decimal digits, 16 bytes in). 0 when that is not a package file.
    """
    with file.open("rb") as stream:
        head = stream.read(36)
    digits = head[24:36].strip()
    return int(digits) if head.startswith(b"!<arch>\n") and digits.isdigit() else 0
