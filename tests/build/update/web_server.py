"""A web server on loopback that answers what a test wants, and remembers what it was asked."""

import contextlib
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass(frozen=True)
class Reply:
    """One answer; ``cut`` is how many bytes of the body are held back though they were announced."""

    body: bytes = b""
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    cut: int = 0


Answerer = Callable[[BaseHTTPRequestHandler], Reply]


@dataclass
class WebServer:
    """``url`` has no slash at its end; ``pages`` maps a path to its answer; ``asked`` has method and path, in order."""

    url: str
    host: str
    pages: dict[str, Reply | Answerer] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)


@contextlib.contextmanager
def serve_pages(tls: ssl.SSLContext | None = None) -> Iterator[WebServer]:
    """Serve until the block ends, over https with ``tls``; what is not in ``pages`` is a 404."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            server.asked.append(f"{self.command} {self.path}")
            page = server.pages.get(self.path, Reply(status=404))
            reply = page if isinstance(page, Reply) else page(self)
            self.send_response(reply.status)
            for name, value in {"Content-Length": str(len(reply.body)), **reply.headers}.items():
                self.send_header(name, value)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(reply.body[: len(reply.body) - reply.cut])
            self.close_connection = True

        do_HEAD = do_GET  # noqa: N815 - named by http.server

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    listener = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    listener.daemon_threads = True
    host = f"127.0.0.1:{listener.server_address[1]}"
    server = WebServer(f"{'https' if tls else 'http'}://{host}", host)
    if tls is not None:
        listener.socket = tls.wrap_socket(listener.socket, server_side=True)
        listener.handle_error = lambda *_: None  # type: ignore[method-assign] # a client that hangs up is no news
    thread = threading.Thread(target=listener.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        listener.shutdown()
        listener.server_close()
        thread.join()
