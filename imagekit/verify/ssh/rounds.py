"""Learn what the checks look at, in few round trips: they rehearse on what is known, and what they missed is fetched.

A first request brings what checks usually look at. Then each check is tried on the snapshot; one that missed anything
saw guesses, so what it said is thrown away, and it is tried again when everything that all of them missed has been
fetched at once. The real run comes afterwards, over a snapshot that knows all it needs.
"""

import contextlib
import time
from collections.abc import Callable
from itertools import islice
from typing import cast

from imagekit.progress import Event, Progress
from imagekit.verify.check import Check, Policy
from imagekit.verify.judge import MOST_SEEN
from imagekit.verify.live import LiveFacts
from imagekit.verify.ssh.snapshot import Snapshot, SnapshotTree
from imagekit.verify.ssh.wire import Request, decode_answer
from imagekit.verify.view import Answer, View, ViewKind

Exchange = Callable[[bytes], bytes]  # a request to the collector, and its packed answer

MOST_ROUNDS = 12
# Path, depth, and the size up to which files are read along. Others are found by what the checks miss.
_SMALL, _PLAIN = 4 << 10, 64 << 10
FIRST = Request(
    listings=(
        ("/", 1, _SMALL),
        ("/etc", 8, _PLAIN),
        ("/root", 3, _SMALL),
        ("/home", 3, _SMALL),
        ("/boot", 4, 256 << 10),
        ("/var", 2, _SMALL),
        ("/var/lib", 2, _SMALL),
        ("/var/lib/cloud", 6, _SMALL),
        ("/var/lib/systemd", 4, _SMALL),
        ("/var/log", 3, 0),
        ("/var/spool", 3, _SMALL),
        ("/usr", 1, 0),
        ("/usr/local", 3, _SMALL),
        ("/usr/lib", 1, _SMALL),
        ("/usr/lib/systemd", 3, _SMALL),
        ("/usr/bin", 1, 0),
        ("/usr/sbin", 1, 0),
        ("/opt", 2, 0),
        ("/srv", 2, 0),
        ("/tmp", 1, 0),
        ("/var/cache/apt", 2, 0),
        ("/var/lib/apt/lists", 2, 0),
        ("/var/lib/dhcp", 2, _SMALL),
    ),
    paths=(
        "/usr/lib/cloud-init/ds-identify",
        "/usr/libexec/cloud-init/ds-identify",
        "/usr/share/zoneinfo/Etc/UTC",
        "/var/lib/dpkg/updates",
    ),
    reads={"/var/lib/dpkg/status": 8 << 20, "/etc/ssl/certs/ca-certificates.crt": 1 << 20, "/etc/mime.types": 1 << 20},
    along=16 << 20,
    seconds=10.0,
)


class _Rehearsal(View):
    """A view that remembers no fact which was worked out from guesses."""

    def __init__(self, snapshot: Snapshot, live: LiveFacts | None) -> None:
        super().__init__(ViewKind.SSH, SnapshotTree(snapshot), live=live)
        self._snapshot = snapshot
        self._settled: dict[object, Callable[[], object]] = {}

    def recall(self, compute: Callable[[View], Answer]) -> Answer:
        """Return ``compute(self)``, worked out once unless something was missed."""
        before = self._snapshot.misses
        if compute in self._settled:
            return cast(Answer, self._settled[compute]())
        try:
            answer = compute(self)
        except Exception as problem:
            if self._snapshot.misses == before:
                self._settled[compute] = _Raiser(problem)
            raise
        if self._snapshot.misses == before:
            self._settled[compute] = lambda: answer
        return answer


class _Raiser:
    def __init__(self, problem: Exception) -> None:
        self._problem = problem

    def __call__(self) -> object:
        raise self._problem


def fill_snapshot(
    snapshot: Snapshot,
    checks: tuple[Check, ...],
    policy: Policy,
    live: LiveFacts | None,
    exchange: Exchange,
    *,
    rounds: int,
    deadline: float,
    progress: Progress,
) -> int:
    """Fetch into ``snapshot`` what ``checks`` look at, beginning after ``rounds`` round trips; return their number.

    The snapshot already holds the answer to :data:`FIRST`. Ends when nothing is missing, after 12 round trips, or at
    ``deadline`` (of time.monotonic()); what is missing then is not observed.
    """
    view = _Rehearsal(snapshot, live)
    pending = checks
    while True:
        pending = tuple(check for check in pending if _misses(check, view, policy, snapshot, deadline))
        request = snapshot.take_wanted()
        if request is None:
            snapshot.finish("nothing asked for it before")
            return rounds
        if rounds >= MOST_ROUNDS:
            snapshot.finish(f"the checks needed more than {MOST_ROUNDS} round trips")
            return rounds
        if time.monotonic() > deadline:
            snapshot.finish("the time for this machine was used up")
            return rounds
        progress(Event("reading files", rounds, MOST_ROUNDS, "round trips"))
        snapshot.absorb(*decode_answer(exchange(request.encode())))
        rounds += 1


def _misses(check: Check, view: View, policy: Policy, snapshot: Snapshot, deadline: float) -> bool:
    """Try a check and say whether it asked for something that is not known yet; what it sees counts for nothing."""
    before = snapshot.misses
    with contextlib.suppress(Exception):  # on guesses anything may happen; in the real run it would happen again
        for _ in islice(check.find(view, policy), MOST_SEEN):
            if time.monotonic() > deadline:
                break
    return snapshot.misses != before
