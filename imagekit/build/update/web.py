"""Asking a web server for something small: bounded in bytes and seconds, and in where it may send us.

Everything comes over https; plain http is for this machine alone, where tests and a registry of one's own listen.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from email.message import Message
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any
from urllib.parse import urljoin, urlsplit

from imagekit import __version__
from imagekit.errors import HostFailed

if TYPE_CHECKING:
    from http.client import HTTPResponse

_MOST_REDIRECTS = 5
_SILENCE_SECONDS = 30.0
_PIECE = 256 << 10
_NETWORK_HINT = "look at this machine's network, and at https_proxy; what is locked stays as it is"


@dataclass(frozen=True, slots=True)
class Answer:
    """What a server said: ``body`` is empty unless ``status`` is 200; ``url`` is where redirects led."""

    status: int
    headers: Message
    body: bytes
    url: str


def require_safe(url: str, sender: str = "") -> str:
    """Return ``url``; raises :class:`HostFailed` unless it is https, or http to this machine.

    ``sender`` is the address whose answer named it: another machine has nothing to send us to on this one.
    """
    parts = urlsplit(url)
    local = is_loopback(parts.hostname or "")
    trusted = not local or not sender or is_loopback(urlsplit(sender).hostname or "")
    if parts.hostname and trusted and (parts.scheme == "https" or (parts.scheme == "http" and local)):
        return url
    raise HostFailed(
        f"{_name(url)} is not asked: anybody on the way could answer for it", hint="use an https:// address"
    )


def is_loopback(name: str) -> bool:
    """Say whether a host's name or address means this machine."""
    try:
        return ip_address(name).is_loopback
    except ValueError:
        return name == "localhost"


def fetch(
    url: str,
    *,
    limit: int,
    headers: Mapping[str, str] | None = None,
    method: str = "GET",
    seconds: float = 60.0,
    on_piece: Callable[[bytes], None] | None = None,
) -> Answer:
    """Ask ``url`` and return the answer, whatever its status; ``Authorization`` never follows to another host.

    ``limit`` is in bytes, ``seconds`` bounds the whole. With ``on_piece`` the body goes there and ``body`` stays empty.
    Raises :class:`HostFailed` when there is no answer, or one beyond these bounds.
    """
    deadline = time.monotonic() + seconds
    sender = ""
    wanted = dict(headers or {})
    for _ in range(_MOST_REDIRECTS):
        with _Explained(url):
            response = _ask(require_safe(url, sender), method, wanted)
            with response:
                target = response.headers.get("Location", "")
                if response.status not in (301, 302, 303, 307, 308) or not target:
                    told = response.status == 200 and method != "HEAD"
                    body = _read(response, url, limit, deadline, on_piece) if told else b""
                    return Answer(response.status, response.headers, body, url)
        target = urljoin(url, target)
        if urlsplit(target).netloc != urlsplit(url).netloc:
            wanted.pop("Authorization", None)
        sender, url = url, target
    raise HostFailed(f"{_name(url)} leads from one address to the next without an end", hint="try again later")


def _ask(url: str, method: str, headers: Mapping[str, str]) -> "HTTPResponse":
    """Return the answer to one request; redirects and errors are answers as well."""
    # here: these and ssl take 60 ms to load
    from urllib.request import HTTPErrorProcessor, ProxyHandler, Request, build_opener, getproxies

    class AnyAnswer(HTTPErrorProcessor):
        def http_response(self, request: Request, response: Any) -> Any:  # noqa: ANN401, ARG002 - as in urllib
            return response

        https_response = http_response

    proxies = {} if is_loopback(urlsplit(url).hostname or "") else getproxies()
    opener = build_opener(AnyAnswer, ProxyHandler(proxies))
    request = Request(url, method=method, headers={"User-Agent": f"imagekit/{__version__}", **headers})
    response: HTTPResponse = opener.open(request, timeout=_SILENCE_SECONDS)
    return response


def _read(
    response: "HTTPResponse", url: str, limit: int, deadline: float, on_piece: Callable[[bytes], None] | None
) -> bytes:
    kept = bytearray()
    count = 0
    while piece := response.read1(_PIECE):
        count += len(piece)
        if count > limit:
            raise HostFailed(
                f"{_name(url)} answers with more than {limit >> 10} KiB", hint="this is not what was asked for"
            )
        if time.monotonic() > deadline:
            raise HostFailed(f"{_name(url)} answers too slowly", hint=_NETWORK_HINT)
        if on_piece is None:
            kept += piece
        else:
            on_piece(piece)
    told = response.headers.get("Content-Length", "")
    if told.isascii() and told.isdecimal() and count < int(told[:18]):  # read1 does not complain about a short body
        raise HostFailed(f"{_name(url)} ended its answer in the middle", hint="try again")
    return bytes(kept)


class _Explained:
    """Turns what the network does into :class:`HostFailed`."""

    def __init__(self, url: str) -> None:
        self._url = url

    def __enter__(self) -> None:
        return None

    def __exit__(self, _kind: object, problem: BaseException | None, _trace: object) -> None:
        from http.client import HTTPException
        from ssl import SSLCertVerificationError
        from urllib.error import URLError

        if isinstance(problem, URLError) and isinstance(problem.reason, BaseException):
            problem = problem.reason
        host = urlsplit(self._url).netloc.rpartition("@")[2]
        match problem:
            case SSLCertVerificationError():
                raise HostFailed(
                    f"the certificate of {host} is not trusted: {problem.verify_message}",
                    hint="SSL_CERT_FILE names further authorities to trust",
                ) from problem
            case TimeoutError():
                raise HostFailed(f"{host} does not answer", hint=_NETWORK_HINT) from problem
            case OSError():
                reason = problem.strerror or type(problem).__name__
                raise HostFailed(f"{host} cannot be reached: {reason}", hint=_NETWORK_HINT) from problem
            case HTTPException() | ValueError() | URLError():
                raise HostFailed(f"{host} answers with what is no HTTP", hint=_NETWORK_HINT) from problem
            case _:
                return


def _name(url: str) -> str:
    """Return an address without login, query and fragment, for a sentence."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"
