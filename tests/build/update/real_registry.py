"""Debian's docker-registry on loopback, with images pushed into it as any client does."""

import contextlib
import hashlib
import http.client
import json
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from imagekit.host import find_tool, start
from imagekit.host.local import Tail, end

_CONFIG = """\
version: 0.1
log: {{level: error, accesslog: {{disabled: true}}}}
storage: {{filesystem: {{rootdirectory: {storage}}}}}
http: {{addr: "127.0.0.1:{port}"}}
"""
INDEX = "application/vnd.oci.image.index.v1+json"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"


@dataclass(frozen=True, slots=True)
class RealRegistry:
    """``host`` is where it listens, as the beginning of an image's name."""

    host: str

    def push(self, path: str, tag: str, content: bytes, *, architecture: str = "arm64") -> str:
        """Push an index with one image, whose configuration is ``content``; return the index's digest."""
        config = json.dumps({"architecture": architecture, "os": "linux", "content": content.decode()}).encode()
        manifest = {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": self._push_blob(path, config, "application/vnd.oci.image.config.v1+json"),
            "layers": [],
        }
        data = json.dumps(manifest).encode()
        entry = {
            **self._describe(data, MANIFEST), "platform": {"architecture": architecture, "os": "linux"},
        }  # fmt: skip
        self._put(f"/v2/{path}/manifests/{entry['digest']}", data, MANIFEST)
        index = json.dumps({"schemaVersion": 2, "mediaType": INDEX, "manifests": [entry]}).encode()
        self._put(f"/v2/{path}/manifests/{tag}", index, INDEX)
        return f"sha256:{hashlib.sha256(index).hexdigest()}"

    def _push_blob(self, path: str, data: bytes, kind: str) -> dict[str, object]:
        described = self._describe(data, kind)
        location = self._ask("POST", f"/v2/{path}/blobs/uploads/", b"", kind, 202)
        place = location.removeprefix(f"http://{self.host}")
        self._ask("PUT", f"{place}&digest={described['digest']}", data, "application/octet-stream", 201)
        return described

    def _put(self, place: str, data: bytes, kind: str) -> None:
        self._ask("PUT", place, data, kind, 201)

    def _ask(self, method: str, place: str, data: bytes, kind: str, status: int) -> str:
        with contextlib.closing(http.client.HTTPConnection(self.host, timeout=10)) as connection:
            connection.request(method, place, data, {"Content-Type": kind, "Content-Length": str(len(data))})
            answer = connection.getresponse()
            said = answer.read()
            assert answer.status == status, said
            return answer.headers.get("Location", "")

    def _describe(self, data: bytes, kind: str) -> dict[str, object]:
        return {"mediaType": kind, "digest": f"sha256:{hashlib.sha256(data).hexdigest()}", "size": len(data)}


@contextlib.contextmanager
def run_registry(directory: Path) -> Iterator[RealRegistry]:
    """Run an empty registry below ``directory`` until the block ends; without docker-registry the test fails."""
    program = find_tool("docker-registry")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    config = directory / "registry.yml"
    config.write_text(_CONFIG.format(storage=directory / "registry", port=port))
    log = Tail(1 << 16)
    running = start([program, "serve", str(config)], stdout=log, stderr=log)
    try:
        deadline = time.monotonic() + 20
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                break
            except OSError:
                assert running.is_alive(), log.value()
                assert time.monotonic() < deadline, log.value()
                time.sleep(0.05)
        yield RealRegistry(f"127.0.0.1:{port}")
    finally:
        end(running)
