"""A machine that runs commands and gives files: this one or another one, and its user need not know which.

Two classes are such a machine: :class:`imagekit.host.here.ThisMachine` and :class:`imagekit.host.openssh.OpenSshHost`.
Paths there are strings: what separates their parts is the other machine's business.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Protocol

from imagekit.host.local import Completed

# Where Nix puts programs that a login without a terminal does not find: a daemon's profile, NixOS, a user's own.
# /run/wrappers comes before the system's own programs: sudo works from there alone.
NIX_PLACES = (
    "/run/wrappers/bin",
    "$HOME/.nix-profile/bin",
    "$HOME/.local/state/nix/profile/bin",
    "/etc/profiles/per-user/$USER/bin",
    "/nix/var/nix/profiles/default/bin",
    "/run/current-system/sw/bin",
    "/usr/local/bin",
    "/opt/homebrew/bin",
    "/usr/local/sbin",
    "/usr/sbin",
    "/sbin",
)
BUILDS = "imagekit/builds"  # below the user's cache there: a disk with room, where /tmp may be memory
BUILD_PREFIX = "build-"
SWEEP_DAYS = 2


class Host(Protocol):
    """A machine that runs commands and gives files.

    Every method raises :class:`HostFailed` when the machine cannot be reached, is lost on the way, or has no such
    file; a lost connection ends the command there within seconds.
    """

    @property
    def name(self) -> str:
        """The machine, for sentences: ``this machine``, ``ssh://builder@nas:2222``."""
        ...

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
        """Run ``argv`` there to its end; no shell reads the arguments.

        ``environment`` is added to the login's; ``stdin`` is what the program reads, else nothing; ``on_line`` hears
        each line of standard error while it is written; ``timeout`` is in seconds. With ``check`` a status other than
        0 raises :class:`ToolFailed`, as a timeout and an output over 64 MiB always do; :class:`ToolMissing` when there
        is no such program there.
        """
        ...

    def find_program(self, name: str) -> str:
        """Return the absolute path of program ``name`` there, empty when it is missing.

        Looked at are the login's PATH and the places where Nix, NixOS and Homebrew put programs; :meth:`run` finds a
        bare name in the same places, and so do the programs it runs.
        """
        ...

    def make_directory(self) -> str:
        """Make a fresh directory that only the user can read, on a disk with room, and return its path.

        It lies in ``imagekit/builds`` in the user's cache there. Those that crashes left are removed after two days.
        """
        ...

    def remove_directory(self, directory: str) -> None:
        """Remove a directory with all it holds; :class:`Refused` for one that :meth:`make_directory` did not make."""
        ...

    def put_tree(self, source: Path, directory: str) -> None:
        """Copy what is in ``source`` here into ``directory`` there, which exists.

        Files keep their bits for execution; owners and times are not taken along. A symbolic link that leaves the
        tree, a device or a socket raises :class:`Refused` before anything is sent.
        """
        ...

    def read_file(self, path: str, *, limit: int) -> bytes:
        """Return the bytes of a file there; :class:`HostFailed` when there are more than ``limit``."""
        ...

    def measure_file(self, path: str) -> int:
        """Return the length of a file there in bytes."""
        ...

    def digest_file(self, path: str) -> str:
        """Return the SHA-256 of a file as 64 hexadecimal digits, computed there."""
        ...

    def free_bytes(self, path: str) -> int:
        """Return how many bytes this user may still write to the filesystem of ``path``, or of its nearest parent."""
        ...

    def fetch_file(
        self, path: str, destination: Path, *, size: int, on_bytes: Callable[[int], None] | None = None
    ) -> Path:
        """Bring a file of ``size`` bytes here, and return where it is.

        This machine returns ``path`` itself and writes nothing. Another one continues ``destination`` by its length,
        unless that is more than ``size``, and flushes it to the disk; ``on_bytes`` hears how many bytes are here.
        Whether they are the right ones the caller decides, by :meth:`digest_file`. Raises :class:`HostFailed` for a
        file of another length.
        """
        ...

    def close(self) -> None:
        """End the connection, if there is one; safe to call twice, never raises."""
        ...
