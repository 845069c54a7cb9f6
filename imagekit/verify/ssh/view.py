"""Open a running machine for checking: one SSH connection, a handful of round trips, nothing written there."""

import contextlib
import secrets
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from imagekit.errors import HostFailed
from imagekit.host.ssh import SshHost
from imagekit.host.ssh_login import open_ssh
from imagekit.host.ssh_process import RemoteProcess
from imagekit.host.ssh_target import SshTarget
from imagekit.progress import Event, Progress, silent
from imagekit.verify.catalogue import select_checks
from imagekit.verify.check import Policy
from imagekit.verify.live import LiveFacts
from imagekit.verify.ssh.live import make_questions, read_answers
from imagekit.verify.ssh.rounds import FIRST, MOST_ROUNDS, fill_snapshot
from imagekit.verify.ssh.script import make_script
from imagekit.verify.ssh.snapshot import Snapshot, SnapshotTree
from imagekit.verify.ssh.wire import MOST_PACKED, decode_answer
from imagekit.verify.view import View, ViewKind

_CONNECT_SECONDS = 15.0
_COLLECT_SECONDS = 50.0  # of the 60 that a run may take
_LIVE_BYTES = 2 << 20
# -I takes nothing from the environment or the home, -B writes no bytecode. sudo is tried with the very program that
# it shall run: a rule may allow one and not another.
_START = """\
PATH="$PATH:/usr/local/bin:/usr/bin:/bin:/run/current-system/sw/bin:/run/wrappers/bin"; export PATH
for name in python3 /usr/libexec/platform-python; do python=$(command -v "$name" 2>/dev/null) && break; done
[ -n "$python" ] || { printf '\\n%s 0 no-python\\n' MARK; exit 0; }
how=user; as=
if [ "$(id -u)" = 0 ]; then how=root
elif sudo -n -- "$python" -I -B -c pass </dev/null >/dev/null 2>&1; then how=sudo; as='sudo -n --'
fi
printf '\\n%s 0 %s\\n' MARK "$how"
exec $as "$python" -I -B -c 'import sys; exec(sys.stdin.buffer.read(int(sys.stdin.buffer.readline())))' 2>/dev/null
"""


@dataclass(frozen=True, slots=True)
class SshView:
    """An opened machine: its view, how many round trips it took after logging in, and the key that it showed."""

    view: View
    rounds: int
    host_key: str


@contextlib.contextmanager
def open_ssh_view(
    target: SshTarget,
    policy: Policy,
    *,
    against: SshTarget | None = None,
    progress: Progress = silent,
    home: Path | None = None,
) -> Iterator[View]:
    """Open the machine for the length of the block; raises :class:`HostFailed`. See :func:`collect_machine`."""
    yield collect_machine(target, policy, against=against, progress=progress, home=home).view


def ask_machine(target: SshTarget, *, timeout: float, home: Path | None = None) -> LiveFacts:
    """Log in, ask within ``timeout`` seconds only what files do not say, and leave; raises :class:`HostFailed`."""
    mark = secrets.token_hex(16)
    with open_ssh(target, timeout=_CONNECT_SECONDS, home=home) as host:
        asked = host.run(make_questions(mark, sudo=True), limit=_LIVE_BYTES, timeout=timeout)
    return read_answers(asked.output, mark, (), privileged=False)


def collect_machine(
    target: SshTarget,
    policy: Policy,
    *,
    against: SshTarget | None = None,
    progress: Progress = silent,
    home: Path | None = None,
) -> SshView:
    """Log in, collect what the checks of the policy's profile look at, and leave.

    ``against`` is a machine to compare with, which is asked first; ``home`` is where ``.ssh`` with keys and known
    hosts lies. Raises :class:`HostFailed` when a machine cannot be reached, is not the one known, lets nobody in
    without a password, has no Python 3 or does not answer as it should.
    """
    deadline = time.monotonic() + _COLLECT_SECONDS

    def left() -> float:
        return max(1.0, deadline - time.monotonic())

    twin = None
    if against is not None:
        progress(Event("connecting", detail=str(against)))
        twin = ask_machine(against, timeout=left(), home=home)
    progress(Event("connecting", detail=str(target)))
    with open_ssh(target, timeout=_CONNECT_SECONDS, home=home) as host:
        mark = secrets.token_hex(16)
        script = make_script(mark)
        with RemoteProcess.start(host, _START.replace("MARK", mark), timeout=_CONNECT_SECONDS) as process:
            progress(Event("reading files", 0, MOST_ROUNDS, "round trips"))
            request = FIRST.encode()
            process.send(b"%d\n%s%d\n%s" % (len(script), script, len(request), request), timeout=left())
            how, _ = process.receive(mark, limit=0, timeout=left())
            _require_python(how, host)
            # The answers to these come while the first files are being collected.
            asked = host.run(make_questions(mark, sudo=how == "sudo"), limit=_LIVE_BYTES, timeout=left())
            snapshot = Snapshot()
            snapshot.absorb(*decode_answer(process.receive(mark, limit=MOST_PACKED, timeout=left())[1]))
            mounts = tuple(path for path in sorted(snapshot.mounts) if snapshot.is_mounted_file(path))
            live = replace(read_answers(asked.output, mark, mounts, privileged=snapshot.uid == 0), twin=twin)

            def exchange(request: bytes) -> bytes:
                process.send(b"%d\n%s" % (len(request), request), timeout=left())
                return process.receive(mark, limit=MOST_PACKED, timeout=left())[1]

            view = View(ViewKind.SSH, SnapshotTree(snapshot), live=live)
            checks = select_checks(policy.profile, view)
            # Two so far: the first request with its files, the questions.
            rounds = fill_snapshot(
                snapshot, checks, policy, live, exchange, rounds=2, deadline=deadline, progress=progress
            )
        progress(Event("reading files", rounds, MOST_ROUNDS, "round trips"))
        # another view of the same files: the first one's tree has no cache of what is complete now
        view = View(ViewKind.SSH, SnapshotTree(snapshot), live=live)
        return SshView(view, rounds, host.host_key.fingerprint)


def _require_python(how: str, host: SshHost) -> None:
    match how:
        case "root" | "sudo" | "user":
            return
        case "no-python":
            raise HostFailed(
                f"{host.where} has no Python 3, which describes its files",
                hint="install python3 there, or verify its disk image instead",
            )
        case _:
            raise HostFailed(f"{host.where} did not run the script that was sent: it said {how[:40]!r}")
