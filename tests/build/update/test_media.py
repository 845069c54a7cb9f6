"""Checksums beside media: which list counts, which line of it, and what happens when there is only SHA-512."""

import hashlib

import pytest

from imagekit.build.update.media import find_in_list, find_medium_digest
from imagekit.definition import Medium
from imagekit.errors import HostFailed
from tests.build.update.web_server import Reply, WebServer

NAME = "debian-12-generic-amd64.qcow2"
CONTENT = b"disk" * 1000
SHA256, SHA512 = hashlib.sha256(CONTENT).hexdigest(), hashlib.sha512(CONTENT).hexdigest()


def _medium(web: WebServer) -> Medium:
    return Medium(sha256="0" * 64, url=f"{web.url}/latest/{NAME}")


@pytest.mark.parametrize(
    "line",
    [
        f"{SHA256}  {NAME}",
        f"{SHA256} *{NAME}",
        f"{SHA256}  ./{NAME}",
        f"SHA256 ({NAME}) = {SHA256}",
        SHA256.upper() + f"  {NAME}",
    ],
)
def test_lines_of_a_list(line: str) -> None:
    """Both of coreutils' forms are read, with the name as the publisher wrote it."""
    text = f"# made by hand\n{'1' * 64}  other-{NAME}\n\n{line}\n{'2' * 64}  {NAME}.asc\n"
    assert find_in_list(text, NAME, 64) == SHA256


def test_lists_without_the_medium() -> None:
    """Another file's line is not taken, and a bare digest only where the list is of one file."""
    assert find_in_list(f"{SHA256}  other.iso\n", NAME, 64) is None
    assert find_in_list(f"{SHA256}\n", NAME, 64) is None
    assert find_in_list(f"{SHA256}\n", NAME, 64, alone=True) == SHA256
    assert find_in_list(f"{SHA512}  {NAME}\n", NAME, 64) is None


def test_publishers_list_is_enough(web: WebServer) -> None:
    """With SHA256SUMS beside it the medium itself is not fetched."""
    web.pages["/latest/SHA256SUMS"] = Reply(f"{SHA256}  {NAME}\n".encode())
    assert find_medium_digest(_medium(web)) == SHA256
    assert web.asked == ["GET /latest/SHA256SUMS"]


def test_list_of_one_file(web: WebServer) -> None:
    """A ``.sha256`` beside the medium does as well."""
    web.pages[f"/latest/{NAME}.sha256"] = Reply(f"{SHA256}\n".encode())
    assert find_medium_digest(_medium(web)) == SHA256


def test_only_sha512(web: WebServer) -> None:
    """Where the publisher has only SHA-512 the medium is fetched, held against that, and its SHA-256 computed."""
    web.pages["/latest/SHA512SUMS"] = Reply(f"{SHA512}  {NAME}\n".encode())
    web.pages[f"/latest/{NAME}"] = Reply(status=302, headers={"Location": "/elsewhere"})
    web.pages["/elsewhere"] = Reply(CONTENT)
    counts: list[int] = []
    assert find_medium_digest(_medium(web), counts.append) == SHA256
    assert counts[-1] == len(CONTENT)
    web.pages["/elsewhere"] = Reply(b"something else")
    with pytest.raises(HostFailed, match="not what the publisher's SHA512SUMS says"):
        find_medium_digest(_medium(web))


def test_nobody_tells(web: WebServer) -> None:
    """A medium without lists is left to its owner."""
    assert find_medium_digest(_medium(web)) is None


@pytest.mark.parametrize(
    ("reply", "said"),
    [
        (Reply(status=503), "answered with status 503"),
        (Reply(status=302, headers={"Location": "ftp://x.example/y"}), "is not asked"),
        (Reply(status=302, headers={"Location": "http://x.example/y"}), "is not asked"),
        (Reply(status=302, headers={"Location": "SHA256SUMS"}), "without an end"),
        (Reply(b"x" * 100, cut=50), "in the middle"),
    ],
)
def test_servers_that_do_not_answer(web: WebServer, reply: Reply, said: str) -> None:
    """An answer that is none is a sentence, and redirects lead neither off https nor round in circles."""
    web.pages["/latest/SHA256SUMS"] = reply
    with pytest.raises(HostFailed, match=said):
        find_medium_digest(_medium(web))


def test_plain_http_is_not_believed() -> None:
    """A checksum that anybody on the way could write is not asked for."""
    with pytest.raises(HostFailed, match="anybody on the way"):
        find_medium_digest(Medium(sha256="0" * 64, url="http://mirror.example/a.iso"))
