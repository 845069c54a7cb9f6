"""Proxmox VE's API through proxmoxer: plain values out, errors as sentences, and a token that nobody gets to see."""

import json
import logging
import re
import time
import warnings
from collections.abc import Callable, Mapping
from email.utils import parsedate_to_datetime
from io import FileIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self
from urllib.parse import quote, urlsplit

from imagekit.cluster.access import ClusterAccess, TlsKind
from imagekit.cluster.connection import explain_connection
from imagekit.cluster.failures import ClusterFailed, explain_answer
from imagekit.cluster.tls import make_adapter
from imagekit.errors import SettingsInvalid

if TYPE_CHECKING:
    from requests import Response

# PVE answers a bad token after 3 seconds and waits 10 for a VM's file lock before it says so.
ANSWER_SECONDS: Final = 40.0
_CONNECT_SECONDS: Final = 10.0
_LARGEST_ANSWER: Final = 64 << 20  # bytes; the largest real ones are lists of some thousand VMs, a few MiB
_DEFAULT_PORT: Final = 8006
_SECRET = re.compile(r"[\x21-\x7e]{1,512}")  # PVE's are UUIDs; anything else would break the header it goes into
_TOKEN_ID = re.compile(r"(?P<user>[^\s:/!]+@[A-Za-z][\w.-]*)!(?P<name>[A-Za-z][\w.-]+)")

Value = str | int | bool
_NOTHING: Final[Mapping[str, Value]] = {}


class Cluster:
    """One cluster's API, asked with one token.

    Every method takes a path below ``/api2/json`` (``/nodes``; made by :func:`join_path` where names from outside are
    in it) and returns what is in the answer's ``data``. They raise the errors of :mod:`imagekit.cluster.failures`.
    """

    def __init__(
        self,
        access: ClusterAccess,
        resource: Any,  # noqa: ANN401 # proxmoxer has no types
        close: Callable[[], None],
    ) -> None:
        self.access = access
        self.close = close
        # Seconds that the cluster's clock is ahead of this machine's, by the last answer's Date header.
        self.clock_difference: float | None = None
        self._resource = resource

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_ignored: object) -> None:
        self.close()

    @property
    def address(self) -> str:
        """Host and port, for people."""
        return urlsplit(self.access.url).netloc

    def get(self, path: str, parameters: Mapping[str, Value] = _NOTHING) -> object:
        """Read ``path``."""
        return self._ask("GET", path, parameters)

    def post(self, path: str, parameters: Mapping[str, Value] = _NOTHING) -> object:
        """Make or start something; the answer is often a task's UPID."""
        return self._ask("POST", path, parameters)

    def put(self, path: str, parameters: Mapping[str, Value] = _NOTHING) -> object:
        """Change something."""
        return self._ask("PUT", path, parameters)

    def delete(self, path: str, parameters: Mapping[str, Value] = _NOTHING) -> object:
        """Remove something; the answer is often a task's UPID."""
        return self._ask("DELETE", path, parameters)

    def upload(self, path: str, content: str, file: Path, name: str) -> object:
        """Send ``file`` as ``name`` to a storage's ``upload``; the answer is a task's UPID.

        PVE reads the form in order: ``content`` has to come before the file, whose field is ``filename``.
        """
        with _Named(file, name) as opened:
            return self._ask("POST", path, {"content": content, "filename": opened})

    def _ask(self, verb: str, path: str, parameters: Mapping[str, "Value | _Named"]) -> object:
        from proxmoxer import ResourceException
        from requests.exceptions import RequestException

        # PVE wants 0 and 1, and proxmoxer removes keys from the mapping that it is given
        values = {name: int(value) if isinstance(value, bool) else value for name, value in parameters.items()}
        ask = getattr(self._resource, verb.lower())
        try:
            answer: object = ask(path.lstrip("/"), **values)
            return answer
        except ResourceException as problem:
            # proxmoxer 2.3 has the reason phrase in `content`, where other releases have the body
            said, objections = _read_refusal(problem.errors, str(problem.content or ""))
            failure = explain_answer(
                f"{verb} {path}", problem.status_code, said, objections, token_id=self.access.token_id
            )
        except RequestException as problem:
            failure = explain_connection(problem, self.access)
        # Raised out here: inside the handler it would carry requests' exception, and with it the request's headers.
        raise failure

    def read_headers(self, response: "Response", *_ignored: object, **_options: object) -> None:
        """Look at an answer before its body is read: a hook of requests, which gives more than is needed."""
        size = response.headers.get("Content-Length", "")
        if len(size) > len(str(_LARGEST_ANSWER)) or (size.isdecimal() and int(size) > _LARGEST_ANSWER):
            response.close()
            raise ClusterFailed(f"an answer of {size} bytes from {self.address} is larger than any of Proxmox VE's")
        try:
            remote = parsedate_to_datetime(response.headers["Date"]).timestamp()
        except (KeyError, ValueError, OverflowError):
            pass  # a proxy may leave it out; the difference is then not known
        else:
            self.clock_difference = remote - time.time()
        if 300 <= response.status_code < 400:  # a token is never carried to where a redirection points
            response.close()
            raise explain_answer("the request", response.status_code, "", {}, token_id=self.access.token_id)


def open_cluster(access: ClusterAccess, *, timeout: float = ANSWER_SECONDS) -> Cluster:
    """Return the API that ``access`` names; nothing is asked of it yet. ``timeout`` in seconds is for each answer.

    Raises :class:`SettingsInvalid` for a token or a file of authorities that cannot be one, and what fetching the
    token's secret raises.
    """
    from proxmoxer import ProxmoxResource
    from proxmoxer.backends.https import Backend

    token = _TOKEN_ID.fullmatch(access.token_id)
    if token is None:
        raise SettingsInvalid("the cluster's token id is not one", hint="it is written USER@REALM!NAME")
    if not _SECRET.fullmatch(access.secret.reveal()):
        raise SettingsInvalid(f"the token's secret from {access.secret.origin} is empty or has characters none has")
    _silence_logs()
    if access.tls.kind is TlsKind.INSECURE:  # said by us, loudly and once, and not by urllib3 at every request
        warnings.filterwarnings("ignore", message="Unverified HTTPS request")
    parts = urlsplit(access.url)
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
    backend = Backend(
        f"{host}:{parts.port or _DEFAULT_PORT}", user=token["user"], token_name=token["name"],
        token_value=access.secret.reveal(), timeout=(min(timeout, _CONNECT_SECONDS), timeout),
    )  # fmt: skip
    session = backend.get_session()
    session.mount("https://", make_adapter(access.tls))
    session.max_redirects = 0
    resource = ProxmoxResource(base_url=backend.get_base_url(), session=session, serializer=_Answers())
    cluster = Cluster(access, resource, session.close)
    session.hooks["response"] = [cluster.read_headers]
    return cluster


def join_path(*parts: str | int) -> str:
    """Return a path of these parts, each encoded: a name with '/' or '?' in it stays one part (``local:iso/x.iso``)."""
    if any(str(part) in ("", ".", "..") for part in parts):
        raise ValueError(f"not the parts of a path: {parts}")
    return "".join(f"/{quote(str(part), safe='')}" for part in parts)


class _Named(FileIO):
    """A file to upload under a name that need not be its own: proxmoxer takes ``name`` for the form."""

    def __init__(self, path: Path, name: str) -> None:
        super().__init__(path, "rb")
        self.name = name


def _silence_logs() -> None:
    """Turn off what the libraries log: requests with all they carry, at a level that anybody may set."""
    for name, log in list(logging.root.manager.loggerDict.items()):
        if name.partition(".")[0] in ("proxmoxer", "requests", "urllib3") and isinstance(log, logging.Logger):
            log.disabled = True


class _Answers:
    """How bodies become values, in proxmoxer's terms; its own reader hides what is not JSON behind a dictionary."""

    def loads(self, response: "Response") -> object:
        try:
            return json.loads(response.content)["data"]
        except (ValueError, KeyError, TypeError, RecursionError):
            pass
        raise ClusterFailed(
            f"the answer of {urlsplit(response.url).netloc} is none of Proxmox VE's API",
            status=response.status_code, hint="see that the cluster's url is the API's own: https://HOST:8006",
        )  # fmt: skip

    def loads_errors(self, response: "Response") -> object:
        try:
            return json.loads(response.content)
        except (ValueError, RecursionError):
            return None  # an empty body, or a page of something in between


def _read_refusal(body: object, reason: str) -> tuple[str, dict[str, str]]:
    """Return PVE's message and its objections to parameters; ``reason`` is HTTP's phrase, for when there is no body."""
    if not isinstance(body, dict):
        return reason.removesuffix(f" - {body}"), {}
    message, errors = body.get("message"), body.get("errors")
    objections = {str(name): str(text) for name, text in errors.items()} if isinstance(errors, dict) else {}
    return (message if isinstance(message, str) and message.strip() else reason), objections
