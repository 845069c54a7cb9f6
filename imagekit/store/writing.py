"""The one writer at a time, and what it makes sure of first: a store of our format, no dead leftovers."""

import contextlib
from collections.abc import Iterator

from imagekit.store.failures import explain_os_errors
from imagekit.store.incoming import sweep_incoming
from imagekit.store.layout import Layout, check_format, create_format
from imagekit.store.lock import hold_lock

# A commit takes milliseconds. A build of half an hour must not fail because another one ended in the same moment.
COMMIT_PATIENCE_SECONDS = 5.0


class Writing:
    """The writers' lock of one store, as one :class:`imagekit.store.Store` holds it; it may be entered again inside."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._depth = 0

    @contextlib.contextmanager
    def hold(self, purpose: str, *, wait_seconds: float) -> Iterator[None]:
        """Be the only writer through the block; makes the store if there is none and sweeps what dead writers left.

        Another writer that keeps its lock for ``wait_seconds`` is a :class:`imagekit.errors.StoreError`.
        """
        with contextlib.ExitStack() as stack:
            if self._depth == 0:
                stack.enter_context(
                    hold_lock(
                        self._layout.lock_file,
                        command=purpose,
                        busy="the store is locked by",
                        hint="wait until it has ended; the lock ends with that process",
                        wait_seconds=wait_seconds,
                    )
                )
                with explain_os_errors("write to the store", self._layout.root):
                    if not check_format(self._layout):
                        create_format(self._layout)
                    sweep_incoming(self._layout.incoming)
            self._depth += 1
            try:
                yield
            finally:
                self._depth -= 1

    @contextlib.contextmanager
    def commit(self, purpose: str) -> Iterator[None]:
        """Hold the lock for one short change, waiting a moment for another writer's; explain what the disk refuses."""
        with (
            self.hold(purpose, wait_seconds=COMMIT_PATIENCE_SECONDS),
            explain_os_errors("write to the store", self._layout.root),
        ):
            yield
