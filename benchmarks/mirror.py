"""A package mirror on the loopback interface that records what is asked of it once and then answers from the record.

The first (untimed) build of each tool fills the record through apt's own downloader, with the machine's proxies and
credentials. Frozen, it never asks upstream again: every contender sees the same packages at the same speed.
"""

import contextlib
import os
import threading
from collections.abc import Iterator, Sequence
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import BinaryIO

from imagekit.errors import ToolFailed
from imagekit.host import run

_DOWNLOADER = "/usr/lib/apt/apt-helper"


class Mirror:
    """Upstream repositories by number; ``http://127.0.0.1:PORT/NUMBER/debian`` stands for each."""

    def __init__(self, directory: Path, upstreams: Sequence[str]) -> None:
        self.directory = directory
        self.upstreams = tuple(upstream.rstrip("/") for upstream in upstreams)
        self.port = 0
        self.frozen = False
        self._missing: set[str] = set()
        self._lock = threading.Lock()

    def find_url(self, upstream: str) -> str:
        """Return the address here that stands for ``upstream``."""
        return f"http://127.0.0.1:{self.port}/{self.upstreams.index(upstream.rstrip('/'))}/debian"

    def provide(self, path: str, target: Path) -> None:
        """Make sure that ``target`` is there if upstream has ``path``, unless the record is frozen."""
        number, _, rest = path.lstrip("/").partition("/debian/")
        if self.frozen or not rest or not number.isdecimal() or int(number) >= len(self.upstreams):
            return
        with self._lock:
            if target.exists() or path in self._missing:
                return
            target.parent.mkdir(parents=True, exist_ok=True)
            aside = self.directory / "arriving"
            address = f"{self.upstreams[int(number)]}/{rest}"
            options = ["-o", "APT::Sandbox::User=", "-o", "Acquire::Retries=2"]
            try:
                run([_DOWNLOADER, *options, "download-file", address, os.fspath(aside)])
            except ToolFailed:
                self._missing.add(path)  # indexes that a mirror does not have are asked for too
                aside.unlink(missing_ok=True)
                return
            aside.replace(target)


@contextlib.contextmanager
def open_mirror(directory: Path, upstreams: Sequence[str]) -> Iterator[Mirror]:
    """Serve ``upstreams`` from ``directory`` until the block ends."""
    mirror = Mirror(directory, upstreams)

    class Handler(SimpleHTTPRequestHandler):
        """Files of the record; If-Modified-Since is answered by the standard library."""

        protocol_version = "HTTP/1.1"

        def __init__(self, *arguments: object) -> None:
            super().__init__(*arguments, directory=os.fspath(directory))  # type: ignore[arg-type] # socket, address, server

        def handle(self) -> None:
            with contextlib.suppress(ConnectionError):  # the asking program was ended
                super().handle()

        def send_head(self) -> BinaryIO | None:
            target = Path(self.translate_path(self.path))
            mirror.provide(self.path, target)
            if not target.is_file():
                self.send_error(404)
                return None
            return super().send_head()

        def log_message(self, *_arguments: object) -> None:
            """Say nothing: a request is no news."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        mirror.port = server.server_port
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield mirror
        finally:
            server.shutdown()
            thread.join()
