"""A program that kills a writer at each of its system calls and tells what a reader finds afterwards.

``python -c 'from tests.store.crashes import main; main()' DIRECTORY SCENARIO`` prints one JSON object: for each call at
which the child ended, what was left. It forks, so that hundreds of crashes take a second; it runs in a process of its
own, because only a process without threads may do so.
"""

import functools
import hashlib
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from imagekit.image import Reference
from imagekit.store import Store, Version, open_store
from tests.store.samples import at, make_place, make_template, make_verified

_CALLS = ("fsync", "rename", "replace", "write", "pwrite", "ftruncate", "open", "mkdir", "fchmod", "unlink", "rmdir")
_CRASHED = 77


def add(store: Store, place: Path) -> None:
    """Add the third version by copying."""
    store.add(make_verified(place / "disk.raw", 3), promote_to="stable", clock=at(3))


def add_by_moving(store: Store, place: Path) -> None:
    """Add the third version by renaming its disk."""
    store.add(make_verified(place / "disk.raw", 3), promote_to="stable", move=True, clock=at(3))


def record(store: Store, place: Path) -> None:
    """Record a template as the third version; at a VM id that one of the prepared ones may have."""
    store.record(make_template(make_place(3)), promote_to="stable", clock=at(3))


def promote(store: Store, place: Path) -> None:
    """Move stable forward."""
    store.promote(Reference.parse("template@20260702-1"), "stable", clock=at(4))


def rollback(store: Store, place: Path) -> None:
    """Move candidate back."""
    store.rollback("template", "candidate", clock=at(4))


_SCENARIOS: dict[str, tuple[int, Callable[[Store, Path], None]]] = {
    "first": (0, add),
    "first-moved": (0, add_by_moving),
    "third": (2, add),
    "third-moved": (2, add_by_moving),
    "first-recorded": (0, record),
    "third-recorded": (2, record),
    "replacing": (2, record),
    "promote": (2, promote),
    "rollback": (3, rollback),
}


def main() -> None:
    """Run one scenario as often as it makes system calls, and once more after each crash."""
    place, (versions, act) = Path(sys.argv[1]), _SCENARIOS[sys.argv[2]]
    prepared = open_store(place / "prepared")
    for day in range(1, versions + 1):
        stable = "stable" if day == 1 else None
        if sys.argv[2] == "replacing" and day == versions:
            prepared.record(make_template(make_place(day)), promote_to=stable, clock=at(day))
        else:
            prepared.add(make_verified(place / "disk.raw", day), promote_to=stable, clock=at(day))
    crashes: list[dict[str, object]] = []
    for number in range(1000):
        root = place / f"store-{number}"
        if versions:
            shutil.copytree(prepared.root, root)
        make_verified(place / "disk.raw", 3)
        if _run_and_crash(lambda: act(open_store(root), place), number):  # noqa: B023 - called before the next turn
            break
        after = describe(root)
        act(open_store(root), place)
        crashes.append({"number": number, "after": after, "next": describe(root)})
        shutil.rmtree(root)
    print(json.dumps({"crashes": crashes, "done": describe(root)}))  # noqa: T201 - the answer of this program


def describe(root: Path) -> dict[str, object]:
    """Return what a reader finds: versions whose disk has its digest, channels, history, and the leftovers."""
    store = open_store(root)
    versions = store.list_versions("template")
    return {
        "versions": [str(version.id) for version in versions],
        "intact": all(_is_intact(store, version) for version in versions),
        "replaced": {str(version.id): str(version.replaced_by) for version in versions if version.replaced_by},
        "channels": {channel: str(version) for channel, version in store.channels("template").items()},
        "history": [f"{e.action} {e.channel} {e.previous} {e.version}" for e in store.history("template")],
        "incoming": len(list((root / "incoming").glob("*"))),
    }


def _is_intact(store: Store, version: Version) -> bool:
    """Say whether a version's disk has its bytes, or its manifest everything that was recorded of its template."""
    day = version.id.day.day
    if version.place is None:
        return hashlib.sha256(store.disk_path(version).read_bytes()).hexdigest() == _expect(day)
    expected = make_template(make_place(day))
    return (version.place, version.provenance, version.report) == (
        expected.built.place,
        expected.built.provenance,
        expected.report,
    )


@functools.cache
def _expect(day: int) -> str:
    """Return the digest of the disk that is added on a day."""
    with tempfile.TemporaryDirectory() as place:
        return make_verified(Path(place) / "disk.raw", day).built.disk.digest.hex


def _run_and_crash(act: Callable[[], None], number: int) -> bool:
    """Run ``act`` in a child that dies at its system call ``number``; say whether it came to its end before that."""
    child = os.fork()
    if child == 0:
        try:
            _die_at(number)
            act()
        except BaseException:
            os._exit(1)
        os._exit(0)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if status not in (0, _CRASHED):
        raise RuntimeError(f"the child ended with status {status} at call {number}")
    return status == 0


def _die_at(number: int) -> None:
    """Let the process end at its system call ``number``; a write has written half by then."""
    left = number

    def watch(name: str) -> Callable[..., Any]:
        real: Callable[..., Any] = getattr(os, name)

        def call(*arguments: Any, **options: Any) -> Any:
            nonlocal left
            if left == 0:
                if name in ("write", "pwrite"):
                    real(arguments[0], arguments[1][: len(arguments[1]) // 2], *arguments[2:])
                os._exit(_CRASHED)
            left -= 1
            return real(*arguments, **options)

        return call

    for name in _CALLS:
        setattr(os, name, watch(name))
