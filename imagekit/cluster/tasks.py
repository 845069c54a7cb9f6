"""Waiting for what the cluster does on its own: a task is named by its UPID and goes on when nobody waits for it."""

import re
import time
from collections import deque
from dataclasses import dataclass
from typing import Self

from imagekit.cluster.answer import read_fields, read_number, read_rows, read_text
from imagekit.cluster.api import Cluster, join_path
from imagekit.cluster.failures import ClusterFailed, Unreachable, explain_task
from imagekit.progress import Event, Progress, silent

_UPID = re.compile(
    r"UPID:(?P<node>[A-Za-z0-9-]{1,63}):[0-9A-Fa-f]{8}:[0-9A-Fa-f]{8,9}:[0-9A-Fa-f]{8}"
    r":(?P<kind>[^:\s/]+):(?P<subject>[^:\s/]*):(?P<user>[^:\s/]+):"
)
_WARNINGS = re.compile(r"WARNINGS: (\d+)")
_FIRST_PAUSE, _LONGEST_PAUSE = 0.2, 2.0  # seconds
_PATIENCE = 60.0  # seconds without an answer: a pveproxy that restarts, a switch that learns anew
_PAGE = 500
_LAST_LINES = 15


@dataclass(frozen=True, slots=True)
class Upid:
    """A task's name: the node it runs on, its kind (``qmclone``) and what it is about, mostly a VM's id."""

    text: str
    node: str
    kind: str
    subject: str

    @classmethod
    def parse(cls, text: object) -> Self:
        """Read ``UPID:NODE:PID:PSTART:START:KIND:ID:USER:``; raises :class:`ClusterFailed` when it is none."""
        match = _UPID.fullmatch(text) if isinstance(text, str) else None
        if match is None:
            raise ClusterFailed("the cluster did not say which task it started", said=str(text)[:200])
        return cls(match[0], match["node"], match["kind"], match["subject"])


@dataclass(frozen=True, slots=True)
class TaskResult:
    """A task that did its work; ``warnings`` counts what it complained about, which is in the ``log``'s last lines."""

    upid: Upid
    warnings: int
    log: tuple[str, ...]


class TaskFailed(ClusterFailed):
    """A task ended with an error; ``said`` is its exit status, ``detail`` the last lines of its log."""

    def __init__(self, message: str, *, said: str, detail: str, hint: str | None) -> None:
        super().__init__(message, said=said, hint=hint)
        self.detail = detail
        if detail:
            self.add_note(detail)


class TaskUnfinished(ClusterFailed):
    """A task was not done when the time was up; it goes on."""


def wait_for_task(
    cluster: Cluster, upid: object, *, stage: str, timeout: float, progress: Progress = silent,
    patience: float = _PATIENCE,
) -> TaskResult:  # fmt: skip
    """Wait until the task has ended, for at most ``timeout`` seconds; ``stage`` names it for people.

    ``upid`` is an answer's value. ``OK`` and ``WARNINGS: n`` are success; anything else raises :class:`TaskFailed`.
    An API that does not answer is asked again for ``patience`` seconds. Raises :class:`TaskUnfinished`. An interrupt
    leaves the task running: ending the one who waits never ends it.
    """
    task = Upid.parse(upid)
    path = join_path("nodes", task.node, "tasks", task.text)
    deadline = time.monotonic() + timeout
    unanswered: float | None = None
    pause, seen = _FIRST_PAUSE, 0
    lines: deque[str] = deque(maxlen=_LAST_LINES)
    progress(Event(stage))
    while True:
        try:
            state = read_fields(cluster.get(f"{path}/status"), f"GET {path}/status")
            # the status first: what is written between the two questions is then in the log
            seen += _read_log(cluster, f"{path}/log", seen, lines)
        except Unreachable:
            unanswered = unanswered or time.monotonic()
            if time.monotonic() - unanswered >= patience:
                raise
        else:
            unanswered = None
            if read_text(state, "status") == "stopped":
                return _judge_task(task, stage, read_text(state, "exitstatus"), tuple(lines))
            progress(Event(stage, detail=lines[-1] if lines else ""))
        if time.monotonic() >= deadline:
            raise TaskUnfinished(
                f"{stage}: the task on {task.node} is not done after {timeout:.0f} s", said=task.text,
                hint="it goes on by itself; its log is in the node's task list",
            )  # fmt: skip
        time.sleep(min(pause, max(0.0, deadline - time.monotonic())))
        pause = min(pause * 1.5, _LONGEST_PAUSE)


def _read_log(cluster: Cluster, path: str, seen: int, lines: deque[str]) -> int:
    """Append the lines after the first ``seen`` ones; returns how many there were."""
    count = 0
    while True:
        rows = read_rows(cluster.get(path, {"start": seen + count, "limit": _PAGE}), f"GET {path}")
        # an empty log is one line that says so and is not in it
        found = [read_text(row, "t") for row in rows if (read_number(row, "n") or 0) > seen + count]
        if found == ["no content"]:
            return count
        lines.extend(found)
        count += len(found)
        if len(found) < _PAGE:
            return count


def _judge_task(task: Upid, stage: str, said: str, lines: tuple[str, ...]) -> TaskResult:
    if said == "OK":
        return TaskResult(task, 0, lines)
    if match := _WARNINGS.fullmatch(said):
        return TaskResult(task, int(match[1]), lines)
    shown = said or "it did not say how it ended"
    raise TaskFailed(
        f"{stage}: the cluster's task failed: {shown}", said=said, detail="\n".join(lines),
        hint=explain_task(said, task.subject),
    )  # fmt: skip
