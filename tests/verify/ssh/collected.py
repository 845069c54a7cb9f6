"""A tree seen as over SSH: the collector runs in this process, below a directory that it takes for ``/``."""

import contextlib
import json
import time
from collections.abc import Iterator
from pathlib import Path

from imagekit.progress import silent
from imagekit.report import Report
from imagekit.verify.catalogue import select_checks
from imagekit.verify.check import Check, Policy
from imagekit.verify.run import verify_view
from imagekit.verify.ssh.collect import Collector
from imagekit.verify.ssh.rounds import FIRST, fill_snapshot
from imagekit.verify.ssh.snapshot import Snapshot, SnapshotTree
from imagekit.verify.ssh.wire import decode_answer
from imagekit.verify.view import View, ViewKind


class Machine:
    """A directory that answers as a machine does; ``mounts`` are what it claims to have mounted."""

    def __init__(self, tree: Path, mounts: list[list[str]] | None = None) -> None:
        self.rounds = 0
        self._tree = tree
        self._mounts = mounts or []

    def answer(self, request: bytes) -> bytes:
        """Answer one request."""
        self.rounds += 1
        return Collector(str(self._tree), json.loads(request), self._mounts).collect()

    def collect(self, policy: Policy, checks: tuple[Check, ...] | None = None) -> View:
        """Return the view that ``checks`` (all of the policy's profile) have asked for."""
        snapshot = Snapshot()
        snapshot.absorb(*decode_answer(self.answer(FIRST.encode())))
        view = View(ViewKind.SSH, SnapshotTree(snapshot))
        wanted = select_checks(policy.profile, view) if checks is None else checks
        deadline = time.monotonic() + 60
        rounds = fill_snapshot(
            snapshot, wanted, policy, None, self.answer, rounds=1, deadline=deadline, progress=silent
        )
        assert rounds == self.rounds
        return View(ViewKind.SSH, SnapshotTree(snapshot))


def verify_collected(tree: Path, policy: Policy) -> Report:
    """Return the report on a tree, seen as over SSH."""

    @contextlib.contextmanager
    def opened() -> Iterator[View]:
        yield Machine(tree).collect(policy)

    return verify_view(opened(), ViewKind.SSH, "ssh://machine.example", policy, silent)
