"""Another machine as a host, through ssh(1): what :mod:`imagekit.host.host` promises, with POSIX tools there."""

import contextlib
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Self

from imagekit.errors import HostFailed, Refused, ToolFailed, ToolMissing
from imagekit.host import openssh_script as script
from imagekit.host.host import BUILD_PREFIX, BUILDS
from imagekit.host.local import Completed
from imagekit.host.openssh_failure import clean, read_last_line
from imagekit.host.openssh_login import SshLogin
from imagekit.host.openssh_shell import make_mark, run_script
from imagekit.host.openssh_transfer import fetch_file
from imagekit.host.ssh_target import SshTarget
from imagekit.host.tree import check_tree, write_tar

_OUTPUT_BYTES = 64 << 20
_ANSWER_BYTES = 64 << 10
_DETAIL_LINES = 25
_SHORT_SECONDS = 120.0  # for a question that a disk or a network filesystem there answers
_MADE = re.compile(rf"/[^\x00-\x1f\x7f]*/{BUILDS}/{BUILD_PREFIX}[A-Za-z0-9]+")


class OpenSshHost:
    """A machine that ssh(1) can enter, as a :class:`imagekit.host.host.Host`; :func:`open_openssh` makes one.

    One network connection serves every call, from any thread, and is opened again after a loss. It ends with the thread
    that opened it, as every child of imagekit does on Linux.
    """

    def __init__(self, login: SshLogin) -> None:
        self.login = login
        self._made: set[str] = set()

    @property
    def name(self) -> str:
        """The URL, or the name in ssh's configuration."""
        return self.login.name

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
        """Run ``argv`` there; see :meth:`imagekit.host.host.Host.run`. It ends when the connection does.

        A program that a signal killed has status 128 and the signal's number, as shells say it.
        """
        mark = make_mark()
        data = stdin or b""
        if not argv:
            raise ValueError("no program is named")
        body = script.make_command(argv, environment, mark, len(data))
        program = clean(Path(argv[0]).name)
        try:
            done = run_script(
                self.login,
                body,
                mark,
                limit=_OUTPUT_BYTES,
                feed=lambda stream: _write(stream, data),
                hold=True,
                on_line=on_line,
                timeout=timeout,
            )
        except TimeoutError:
            raise ToolFailed(f"{program} on {self.name} did not end within {timeout:g} s") from None
        if done.status == 127 and f"{mark} missing\n" in done.errors:
            raise ToolMissing(f"{clean(argv[0])} is not installed on {self.name}", hint="install it there")
        if done.status == 254 and f"\n{mark} 255\n" in done.errors:
            done = Completed(done.output, done.errors.replace(f"\n{mark} 255\n", ""), 255)
        if check and done.status != 0:
            detail = _last_lines(done.errors) or _last_lines(done.output.decode(errors="replace"))
            raise ToolFailed(f"{program} failed with status {done.status} on {self.name}", detail=detail)
        return done

    def find_program(self, name: str) -> str:
        """Return a program's absolute path there, empty when it is missing."""
        found = self._answer(script.find_body(name), f"looking for {name}")
        return found if found.startswith("/") and found.isprintable() else ""

    def make_directory(self) -> str:
        """Make a fresh private directory in the user's cache there, and sweep away what crashes left."""
        made = self._answer(script.make_directory_body(), "making a directory")
        if not _MADE.fullmatch(made) or "/../" in made:
            raise HostFailed(f"{self.name} made a directory in a strange place: {clean(made)}")
        self._made.add(made)
        return made

    def remove_directory(self, directory: str) -> None:
        """Remove a directory of :meth:`make_directory`; raises :class:`Refused` for any other."""
        if directory not in self._made:
            raise Refused(f"{directory} is not a directory that imagekit made on {self.name}; it is not removed")
        self._answer(script.remove_directory_body(directory), f"removing {directory}", timeout=None)
        self._made.discard(directory)

    def put_tree(self, source: Path, directory: str) -> None:
        """Copy what is in ``source`` into ``directory`` there, as a tar stream."""
        check_tree(source)
        place = script.quote_path(directory)
        # -o: a root there does not take owners from the archive. The end of the input ends tar, whatever happens.
        body = f"cd -- {place} || exit 1\nexec tar -x -o -f -"
        self._answer(body, f"copying to {directory}", feed=lambda stream: write_tar(source, stream), timeout=None)

    def read_file(self, path: str, *, limit: int) -> bytes:
        """Return a file's bytes, at most ``limit``."""
        quoted = script.quote_path(path)
        body = f"exec < {quoted} || exit 1\nexec head -c {limit + 1}"
        data = self._ask(body, f"reading {path}", limit=limit + 1)
        if len(data) > limit:
            raise HostFailed(f"{path} on {self.name} has more than {limit} bytes")
        return data

    def measure_file(self, path: str) -> int:
        """Return a file's length."""
        said = self._answer(script.measure_body(path), f"measuring {path}").strip()
        if not said.isdecimal() or len(said) > 15:
            raise HostFailed(f"{self.name} told no length of {path}: {read_last_line(said)}")
        return int(said)

    def digest_file(self, path: str) -> str:
        """Return a file's SHA-256, computed there."""
        said = self._answer(script.digest_body(path), f"reading {path}", timeout=None)
        if not (found := re.match(r"\\?([0-9a-f]{64})\b", said)):
            raise HostFailed(f"{self.name} told no digest of {path}: {read_last_line(said)}")
        return found[1]

    def free_bytes(self, path: str) -> int:
        """Return how much room is left there."""
        said = self._answer(script.free_body(path), f"asking for the free space of {path}")
        # df(1): filesystem, blocks of 1024 bytes, used, available, capacity, mount point; names may have spaces
        found = re.findall(r"\s(\d{1,15})\s+-?\d+\s+(-?\d{1,15})\s+(?:\d+%|-)\s+/", said)
        if not found:
            raise HostFailed(f"{self.name} told no free space of {path}: {read_last_line(said)}")
        return max(0, int(found[-1][1])) * 1024

    def fetch_file(
        self, path: str, destination: Path, *, size: int, on_bytes: Callable[[int], None] | None = None
    ) -> Path:
        """Bring a file here, continuing what is in ``destination``; see :meth:`imagekit.host.host.Host.fetch_file`.

        A lost connection is opened again and the file continued, after 1, 3, 10 and 30 seconds without progress.
        """
        fetch_file(self.login, path, destination, size=size, measure=lambda: self.measure_file(path), on_bytes=on_bytes)
        return destination

    def close(self) -> None:
        """End the connection; safe to call twice, never raises."""
        self.login.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _ask(
        self,
        body: str,
        doing: str,
        *,
        limit: int = _ANSWER_BYTES,
        feed: Callable[[IO[bytes]], None] | None = None,
        timeout: float | None = _SHORT_SECONDS,
    ) -> bytes:
        """Run a script of ours and return its output; :class:`HostFailed` when it fails, with its last words."""
        try:
            done = run_script(self.login, body, make_mark(), limit=limit, feed=feed, timeout=timeout)
        except TimeoutError:
            raise HostFailed(f"{doing} on {self.name} did not end within {timeout:g} s") from None
        if done.status != 0:
            said = read_last_line(done.errors)
            raise HostFailed(f"{doing} on {self.name} failed{f': {said}' if said else ''}")
        return done.output

    def _answer(
        self,
        body: str,
        doing: str,
        *,
        feed: Callable[[IO[bytes]], None] | None = None,
        timeout: float | None = _SHORT_SECONDS,
    ) -> str:
        """Run a script of ours and return what it printed, without its last line's end."""
        try:
            return self._ask(body, doing, feed=feed, timeout=timeout).decode().removesuffix("\n")
        except UnicodeDecodeError:
            raise HostFailed(f"{doing} on {self.name}: the answer is not text") from None


@contextlib.contextmanager
def open_openssh(target: SshTarget | str, *, config: Path | None = None) -> Iterator[OpenSshHost]:
    """Enter the machine ``target``, or the one that ssh's configuration calls so, and leave it at the block's end.

    ``config`` is an ssh_config(5) file to use instead of the operator's own, as Vagrant's ``ssh-config`` prints one.
    No question is ever asked: a key that wants a passphrase must be in the agent. Of a :class:`SshTarget`, ``identity``
    is then the only key file; ``accept_new`` records an unknown host key in known_hosts; ``host_key`` accepts exactly
    that fingerprint, of the one key that ssh negotiates (Ed25519 where the server has one), and leaves known_hosts
    alone. Raises :class:`HostFailed` with the reason and what to do, :class:`ToolMissing` without ssh.
    """
    login = SshLogin(target, config=config)
    try:
        login.connect()
        yield OpenSshHost(login)
    finally:
        login.close()


def _write(stream: IO[bytes], data: bytes) -> None:
    stream.write(data)


def _last_lines(said: str) -> str:
    return "\n".join(said.strip().splitlines()[-_DETAIL_LINES:])
