"""What a registry is asked: a real one for what works, a stand-in for tokens and for what goes wrong."""

import hashlib
import json
import re
import ssl
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from imagekit.build.update.registry import Registry, Repository
from imagekit.build.update.web import fetch, require_safe
from imagekit.errors import DefinitionInvalid, HostFailed
from tests.build.update.real_registry import RealRegistry
from tests.build.update.web_server import Reply, WebServer, serve_pages
from tests.cluster.odd_server import make_certificate

DIGEST = f"sha256:{'a' * 64}"


def _open(host: str, path: str = "pihole/pihole") -> Registry:
    return Registry(Repository.parse(f"{host}/{path}"))


@pytest.mark.parametrize(
    ("name", "host", "path"),
    [
        ("docker.io/pihole/pihole", "registry-1.docker.io", "pihole/pihole"),
        ("pihole/pihole", "registry-1.docker.io", "pihole/pihole"),
        ("alpine", "registry-1.docker.io", "library/alpine"),
        ("docker.io/alpine", "registry-1.docker.io", "library/alpine"),
        ("ghcr.example/a/b/c", "ghcr.example", "a/b/c"),
        ("localhost:5000/a", "localhost:5000", "a"),
        ("localhost/a", "localhost", "a"),
    ],
)
def test_names_mean_what_they_mean_to_engines(name: str, host: str, path: str) -> None:
    """A first part with a dot or a port, or localhost, is a registry; everything else is Docker Hub's."""
    assert Repository.parse(name) == Repository(host, path, name)


@pytest.mark.parametrize(
    "name", ["", "UPPER/case", "a//b", "ghcr.example/", "a b", "$(id)", "x/../y", "evil.example:0/a", f"{'a' * 300}"]
)
def test_names_that_cannot_be(name: str) -> None:
    """What the grammar of registries does not have is refused before anybody is asked."""
    with pytest.raises(DefinitionInvalid, match="cannot be the name"):
        Repository.parse(name)


def test_real_registry_tells_tags_and_digests(registry: RealRegistry) -> None:
    """Tags are listed, a tag's digest is that of its manifest's bytes, and its platforms are looked at."""
    first = registry.push("told/image", "1.0", b"one")
    second = registry.push("told/image", "1.1", b"two")
    asked = _open(registry.host, "told/image")
    assert sorted(asked.list_tags()) == ["1.0", "1.1"]
    assert [asked.find_digest(tag) for tag in ("1.0", "1.1")] == [first, second]
    asked.check_manifest(first, "arm64")
    with pytest.raises(HostFailed, match="is no longer made for riscv64"):
        asked.check_manifest(first, "riscv64")


def test_real_registry_lists_many_tags_in_pages(registry: RealRegistry) -> None:
    """Where a registry gives its tags in parts, all parts are asked for."""
    for number in range(7):
        registry.push("many/image", f"1.{number}", b"same")
    asked = _open(registry.host, "many/image")
    assert sorted(asked._list_from(f"http://{registry.host}/v2/many/image/tags/list?n=3")) == [
        f"1.{number}" for number in range(7)
    ]


def test_what_a_real_registry_does_not_have(registry: RealRegistry) -> None:
    """A repository or a tag that is not there is a sentence."""
    with pytest.raises(HostFailed, match="does not have its tags"):
        _open(registry.host, "no/such").list_tags()
    registry.push("some/image", "1.0", b"one")
    with pytest.raises(HostFailed, match=re.escape("does not have tag 2.0")):
        _open(registry.host, "some/image").find_digest("2.0")


def _need_token(web: WebServer, reply: Reply) -> None:
    """Let the stand-in give ``reply`` only to who has its token, as Docker Hub does."""

    def answer(handler: BaseHTTPRequestHandler) -> Reply:
        if handler.headers.get("Authorization") == "Bearer secret.token":
            return reply
        challenge = f'Bearer realm="{web.url}/token",service="registry.example",scope="ignored"'
        return Reply(b"{}", 401, {"WWW-Authenticate": challenge})

    web.pages["/v2/pihole/pihole/tags/list?n=1000"] = answer
    token = "/token?scope=repository%3Apihole%2Fpihole%3Apull&service=registry.example"
    web.pages[token] = Reply(b'{"token": "secret.token", "expires_in": 300}')


def test_token_is_asked_for_and_used(web: WebServer) -> None:
    """A refusal says where tokens are given; one is asked for, for this repository only, and serves from then on."""
    _need_token(web, Reply(b'{"name": "x", "tags": ["1", "2"]}'))
    asked = _open(web.host)
    assert asked.list_tags() == ("1", "2")
    assert asked.list_tags() == ("1", "2")
    assert [line.partition("?")[0] for line in web.asked] == [
        "GET /v2/pihole/pihole/tags/list", "GET /token", "GET /v2/pihole/pihole/tags/list",
        "GET /v2/pihole/pihole/tags/list",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("reply", "said"),
    [
        (Reply(status=401, headers={"WWW-Authenticate": 'Basic realm="x"'}), "only to accounts"),
        (Reply(status=401), "only to accounts"),
        (Reply(status=401, headers={"WWW-Authenticate": 'Bearer realm="http://evil.example/t"'}), "is not asked"),
        (Reply(status=429, headers={"Retry-After": "60"}), "wants fewer questions"),
        (Reply(status=403), "only to accounts"),
        (Reply(status=500), "answered with status 500"),
        (Reply(b"<html>please log in</html>"), "no JSON"),
        (Reply(b"[" * 100_000), "no JSON"),
        (Reply(b'["tags"]'), "no JSON"),
        (Reply(b" " * (9 << 20)), "more than"),
        (Reply(b'{"tags": []}', cut=4), "in the middle"),
        (Reply(b"{}", headers={"Link": "</v2/pihole/pihole/tags/list?n=1000>; rel=next"}), "does not come to the end"),
        (Reply(b"{}", headers={"Link": "<http://10.0.0.1/secret>; rel=next"}), "does not come to the end"),
    ],
)
def test_answers_that_are_none(web: WebServer, reply: Reply, said: str) -> None:
    """Whatever a registry answers instead ends in one sentence with a hint, and no address of its choice is asked."""
    web.pages["/v2/pihole/pihole/tags/list?n=1000"] = reply
    with pytest.raises(HostFailed, match=said) as caught:
        _open(web.host).list_tags()
    assert caught.value.exit_code == 8
    assert all(line.partition("?")[0].endswith(("/tags/list", "/token")) for line in web.asked)


def test_strange_tags_are_passed_over(web: WebServer) -> None:
    """What cannot be a tag is none, and a list that is null is empty."""
    web.pages["/v2/a/b/tags/list?n=1000"] = Reply(json.dumps({"tags": ["1.0", "$(id)", 7, "-x", "1.0"]}).encode())
    assert _open(web.host, "a/b").list_tags() == ("1.0",)
    web.pages["/v2/a/b/tags/list?n=1000"] = Reply(b'{"tags": null}')
    assert _open(web.host, "a/b").list_tags() == ()


def test_digest_is_made_sure_of(web: WebServer) -> None:
    """A manifest that does not have the digest it was asked by is refused; without the header it is computed."""
    body = b'{"schemaVersion": 2}'
    web.pages[f"/v2/a/b/manifests/{DIGEST}"] = Reply(body)
    with pytest.raises(HostFailed, match="another manifest"):
        _open(web.host, "a/b").check_manifest(DIGEST, "arm64")
    web.pages["/v2/a/b/manifests/1"] = Reply(body)
    assert _open(web.host, "a/b").find_digest("1") == f"sha256:{hashlib.sha256(body).hexdigest()}"
    web.pages["/v2/a/b/manifests/2"] = Reply(body, headers={"Docker-Content-Digest": DIGEST})
    assert _open(web.host, "a/b").find_digest("2") == DIGEST
    assert web.asked[-1].startswith("HEAD ")


def test_nobody_listens(web: WebServer) -> None:
    """A registry that cannot be reached is a sentence, and so is a name that does not resolve."""
    with pytest.raises(HostFailed, match="cannot be reached"):
        _open("127.0.0.1:1").list_tags()


@pytest.fixture
def https(web: WebServer, tmp_path: Path) -> Iterator[Path]:
    """Let the stand-in speak TLS with a certificate of its own, and return that certificate."""
    certificate, key = make_certificate(tmp_path, "127.0.0.1")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    with serve_pages(context) as secure:
        web.url, web.host, secure.pages = secure.url, secure.host, web.pages
        yield certificate


def test_certificates_are_looked_at(web: WebServer, https: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A certificate that nobody vouches for is refused; ``SSL_CERT_FILE`` names who may."""
    web.pages["/list"] = Reply(b"told")
    with pytest.raises(HostFailed, match=r"certificate of 127\.0\.0\.1:\d+ is not trusted"):
        fetch(f"{web.url}/list", limit=100)
    monkeypatch.setenv("SSL_CERT_FILE", str(https))
    assert fetch(f"{web.url}/list", limit=100).body == b"told"


def test_token_goes_to_no_other_host(web: WebServer) -> None:
    """A redirect to another server takes no authorization along."""
    with serve_pages() as other:
        seen: list[str | None] = []

        def answer(handler: BaseHTTPRequestHandler) -> Reply:
            seen.append(handler.headers.get("Authorization"))
            return Reply(b"there")

        other.pages["/blob"] = answer
        web.pages["/here"] = Reply(status=307, headers={"Location": f"{other.url}/blob"})
        assert fetch(f"{web.url}/here", limit=100, headers={"Authorization": "Bearer secret"}).body == b"there"
    assert seen == [None]


@pytest.mark.parametrize("sender", ["https://registry.example/v2/", "http://registry.example/"])
def test_nobody_else_sends_us_to_this_machine(sender: str) -> None:
    """What listens on this machine is not asked because another one says so."""
    for target in ("http://127.0.0.1:8080/admin", "https://localhost/x", "http://[::1]/"):
        with pytest.raises(HostFailed, match="is not asked"):
            require_safe(target, sender)
    assert require_safe("https://auth.example/token", sender) == "https://auth.example/token"
