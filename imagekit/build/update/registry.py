"""The few questions an update has for a container registry: which tags there are, and which digest one has.

Sources: the OCI Distribution Specification 1.1 (pull, content discovery) and Docker's token authentication
(distribution/docs/spec/auth/token.md). Asked without an account: what is pinned here can be pulled by anybody.
"""

import hashlib
import json
import re
from dataclasses import dataclass
from typing import Self
from urllib.parse import urlencode, urljoin, urlsplit

from imagekit.build.update.web import Answer, fetch, is_loopback, require_safe
from imagekit.errors import DefinitionInvalid, HostFailed

# OCI Distribution Specification, "Pulling manifests": the grammar of names, tags and digests.
_PART = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_PATH = re.compile(rf"{_PART}(?:/{_PART})*")
_HOST = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9.-]{0,252}[A-Za-z0-9])?(?::[1-9][0-9]{0,4})?")
TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}")
DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_PARAMETER = re.compile(r'([a-zA-Z_]+)="([^"\\]{0,2000})"')
_NEXT = re.compile(r'<([^<>]{1,2000})>\s*;\s*rel="?next"?')
_DOCKER_HUB = "registry-1.docker.io"
_ACCEPT = ", ".join(
    (
        "application/vnd.oci.image.index.v1+json",
        "application/vnd.docker.distribution.manifest.list.v2+json",
        "application/vnd.oci.image.manifest.v1+json",
        "application/vnd.docker.distribution.manifest.v2+json",
    )
)
_MANIFEST_BYTES = 4 << 20  # what the specification asks registries to take at least
_ANSWER_BYTES = 8 << 20
_MOST_PAGES = 100


@dataclass(frozen=True, slots=True)
class Repository:
    """Where a container's images are: ``host`` with its port as asked, ``path`` there, ``name`` as people write it."""

    host: str
    path: str
    name: str

    @classmethod
    def parse(cls, name: str) -> Self:
        """Read ``docker.io/pihole/pihole`` or ``pihole/pihole``; raises :class:`DefinitionInvalid`.

        Docker Hub's images of one word are in ``library`` there, as every container engine has it.
        """
        first, slash, rest = name.partition("/")
        host, path = (first, rest) if slash and ("." in first or ":" in first or first == "localhost") else ("", name)
        if host in ("", "docker.io", "index.docker.io"):
            host, path = _DOCKER_HUB, path if "/" in path else f"library/{path}"
        if len(name) > 255 or not _PATH.fullmatch(path) or not _HOST.fullmatch(host):
            raise DefinitionInvalid(f"{name[:255]!r} cannot be the name of a container's image")
        return cls(host, path, name)


class Registry:
    """One repository's questions; a token, once asked for, serves all of them."""

    def __init__(self, repository: Repository) -> None:
        self.repository = repository
        scheme = "http" if is_loopback(repository.host.rpartition(":")[0] or repository.host) else "https"
        self._start = f"{scheme}://{repository.host}/v2/{repository.path}/"
        self._authorization: dict[str, str] = {}

    def list_tags(self) -> tuple[str, ...]:
        """Return every tag, in no order; raises :class:`HostFailed`."""
        return self._list_from(f"{self._start}tags/list?n=1000")

    def _list_from(self, url: str) -> tuple[str, ...]:
        tags: list[str] = []
        for _ in range(_MOST_PAGES):
            answer = self._ask(url, "its tags")
            listed = _parse(answer.body).get("tags") or []  # some registries have null where there are none
            tags += (
                [tag for tag in listed if isinstance(tag, str) and TAG.fullmatch(tag)]
                if isinstance(listed, list)
                else []
            )
            following = _NEXT.search(answer.headers.get("Link", ""))
            if following is None:
                return tuple(dict.fromkeys(tags))
            url = urljoin(url, following.group(1))
            if urlsplit(url).netloc != self.repository.host:
                break  # the next page is the same registry's, or none
        raise HostFailed(f"{self.repository.host} does not come to the end of the tags of {self.repository.name}")

    def find_digest(self, tag: str) -> str:
        """Return the digest that ``tag`` has now, by ``HEAD``, which registries do not count as a pull.

        It is only what the registry says; :meth:`check_manifest` makes sure of it.
        """
        answer = self._ask(f"{self._start}manifests/{tag}", f"tag {tag}", method="HEAD")
        digest = answer.headers.get("Docker-Content-Digest", "")
        if DIGEST.fullmatch(digest):
            return digest
        answer = self._ask(f"{self._start}manifests/{tag}", f"tag {tag}")  # the header is optional
        return f"sha256:{hashlib.sha256(answer.body).hexdigest()}"

    def check_manifest(self, digest: str, architecture: str) -> None:
        """Fetch the manifest with ``digest`` and see that it has it, and that it is for ``architecture`` too.

        ``architecture`` is by OCI's names (``arm64``). A manifest that lists no platforms may be for any. Raises
        :class:`HostFailed`.
        """
        answer = self._ask(f"{self._start}manifests/{digest}", digest)
        found = f"sha256:{hashlib.sha256(answer.body).hexdigest()}"
        if found != digest:
            raise HostFailed(
                f"{self.repository.host} gave another manifest of {self.repository.name} than was asked for: {found}",
                hint="what is locked stays; a proxy or the registry is broken, or worse",
            )
        manifests = _parse(answer.body).get("manifests")
        if isinstance(manifests, list):
            platforms = [each.get("platform") for each in manifests if isinstance(each, dict)]
            if architecture not in [each.get("architecture") for each in platforms if isinstance(each, dict)]:
                raise HostFailed(
                    f"{self.repository.name} is no longer made for {architecture}",
                    hint=f"{digest} has no such platform",
                )

    def _ask(self, url: str, what: str, method: str = "GET") -> Answer:
        """Return the answer to one question, after getting a token when one is wanted."""
        for _ in range(2):
            headers = {"Accept": _ACCEPT, **self._authorization}
            limit = _MANIFEST_BYTES if "/manifests/" in url else _ANSWER_BYTES
            answer = fetch(url, method=method, headers=headers, limit=limit)
            if answer.status != 401 or self._authorization:
                break
            self._authorization = {"Authorization": f"Bearer {self._get_token(answer)}"}
        if answer.status != 200:
            raise _explain(answer, self.repository, what)
        return answer

    def _get_token(self, refusal: Answer) -> str:
        """Return a token from where the refusal's ``WWW-Authenticate`` says (RFC 6750, and Docker's token.md)."""
        challenge = refusal.headers.get("WWW-Authenticate", "")
        parameters = dict(_PARAMETER.findall(challenge[:8000]))
        if not challenge.lower().startswith("bearer ") or not parameters.get("realm"):
            raise _explain(refusal, self.repository, "anything")
        wanted = {"scope": f"repository:{self.repository.path}:pull"} | (
            {"service": parameters["service"]} if "service" in parameters else {}
        )
        realm = require_safe(parameters["realm"], self._start)
        answer = fetch(f"{realm}{'&' if '?' in realm else '?'}{urlencode(wanted)}", limit=_ANSWER_BYTES)
        document = _parse(answer.body) if answer.status == 200 else {}
        token = document.get("token") or document.get("access_token")
        if not isinstance(token, str) or not re.fullmatch(r"[\x21-\x7e]{1,16384}", token):
            raise _explain(answer if answer.status != 200 else refusal, self.repository, "anything")
        return token


def _parse(body: bytes) -> dict[str, object]:
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        document = None
    if not isinstance(document, dict):
        raise HostFailed(
            "a container registry answered with what is no JSON", hint="is a proxy's login page in between?"
        )
    return document


def _explain(answer: Answer, repository: Repository, what: str) -> HostFailed:
    """Return the sentence for an answer that is none."""
    match answer.status:
        case 401 | 403:
            said, hint = f"tells {what} only to accounts", "imagekit asks without one; is the name right?"
        case 404:
            said, hint = f"does not have {what}", "was the image renamed or the tag removed?"
        case 429:
            wait = answer.headers.get("Retry-After", "")
            said = "wants fewer questions from this address"
            hint = (
                f"wait {wait} s and run the update again" if wait.isascii() and wait.isdecimal() else "try again later"
            )
        case status:
            said, hint = f"answered with status {status}", "try again later"
    return HostFailed(f"the registry of {repository.name} {said}", hint=hint)
