"""Secrets in bytes: each kind in the shape its vendor gives it, what only looks like one, and the fast search."""

import base64
import os
from pathlib import Path
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imagekit.disk.containers.raw import open_raw
from imagekit.host import run
from imagekit.verify.secrets.patterns import LONGEST_SECRET, SECRETS, STRONG_SECRETS, Secret, Strength, find_secrets
from imagekit.verify.secrets.scan import PIECE, UNSCANNED, count_used, scan, scan_ranges

RANDOM = Random(11)
LETTERS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"


def letters(count: int, alphabet: str = LETTERS) -> str:
    """Return characters that mean nothing."""
    return "".join(RANDOM.choice(alphabet) for _ in range(count))


BODY = base64.encodebytes(RANDOM.randbytes(300)).decode()
HEX = "0123456789abcdef"
# Examples are put together here so that no scanner of sources takes this file for a leak.
EXAMPLES = {
    "private key": [
        f"-----BEGIN OPENSSH PRIVATE KEY-----\n{BODY}-----END",
        f"-----BEGIN PRIVATE KEY-----\r\n{BODY}",
        f"-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,{letters(32, HEX)}\n\n{BODY}",
        f"-----BEGIN PGP PRIVATE KEY BLOCK-----\nVersion: GnuPG v2\n\n{BODY}",
        '"key": "-----BEGIN EC PRIVATE KEY-----\\n' + letters(64) + '\\n"',
    ],
    "private key (PuTTY)": [
        f"PuTTY-User-Key-File-3: ssh-ed25519\nEncryption: none\nPublic-Lines: 1\n{BODY}Private-Lines: 1\n{BODY}"
    ],
    "age key": ["AGE-SECRET-KEY-1" + letters(58, "023456789ACDEFGHJKLMNPQRSTUVWXYZ")],
    "WireGuard key": [f"PrivateKey = {letters(42)}E=", f"PrivateKey={letters(42)}0="],
    "password hash": [
        f"root:$6${letters(16)}${letters(86)}:19000:0:99999:7:::",
        f"debian:$y$j9T${letters(22)}${letters(43)}:19000:0:99999:7:::",
        f"root:!$6${letters(8)}${letters(86)}:19000:0:99999:7:::",
        f"u:$2b$12${letters(53)}:19000:0:::::",
    ],
    "Proxmox VE API token": [f"PVEAPIToken=root@pam!packer={letters(8, HEX)}-1234-4321-8888-{letters(12, HEX)}"],
    "AWS access key": ["AKIA" + letters(16, LETTERS[:36])],
    "GitHub token": [f"gh{kind}_{letters(36)}" for kind in "pousr"] + [f"github_pat_{letters(22)}_{letters(59)}"],
    "GitLab token": [f"glpat-{letters(20)}", f"glrt-{letters(20)}"],
    "Slack token": [f"xoxb-{letters(12, '0123456789')}-{letters(12, '0123456789')}-{letters(24)}"],
    "Stripe key": [f"sk_live_{letters(24)}", f"rk_live_{letters(99)}"],
    "Vault token": [f"hvs.{letters(95)}"],
    "Tailscale key": [f"tskey-auth-{letters(12)}CNTRL-{letters(32)}"],
    "1Password service token": [f"ops_eyJ{letters(800)}"],
}
ALL = [(kind, text) for kind, texts in EXAMPLES.items() for text in texts]


def test_every_strong_kind_has_an_example() -> None:
    """No pattern is there that nothing here can match."""
    assert {pattern.kind for pattern in STRONG_SECRETS} == EXAMPLES.keys()
    assert {pattern.kind for pattern in SECRETS if pattern.strength is Strength.WEAK} == {
        "password or token in a setting"
    }


@pytest.mark.parametrize(("kind", "text"), ALL)
@pytest.mark.parametrize(("before", "behind"), [("", ""), ("\0" * 5, "\0"), ("x = '", "'\n"), ("\n", "\nnext line\n")])
def test_examples_are_found(kind: str, text: str, before: str, behind: str) -> None:
    """An example is found once, by both searches, whatever stands around it, and its text is in no field."""
    data = (before + text + behind).encode()
    found = list(find_secrets(data))
    assert [each.kind for each in found] == [kind]
    assert scan(data) == found
    (secret,) = found
    assert 0 < secret.length <= LONGEST_SECRET
    assert len(secret.fingerprint) == 12
    assert str(secret) == f"{kind}, {secret.length} bytes, sha256 {secret.fingerprint}"


@pytest.mark.parametrize(
    "text",
    [
        "-----BEGIN PRIVATE KEY-----",
        '"-----BEGIN RSA PRIVATE KEY-----\\n" + body',
        "-----BEGIN CERTIFICATE-----\n" + BODY,
        "-----BEGIN PUBLIC KEY-----\n" + BODY,
        "PrivateKey = <your key>",
        f"root:*:19000:0:99999:7:::\ncrypt is $6$salt${letters(86)} for example",
        "AKIAIOSFODNN7EXAMPLE",
        "MAKIA" + letters(16, LETTERS[:36]),
        "ghp_short",
        f"longghp_{letters(36)}",
        "PVEAPIToken=USER@REALM!TOKENID=UUID",
        "hvs.length",
        "tskey-auth-xxx",
        "PATH=/usr/bin:$HOME/bin",
    ],
)
def test_what_only_looks_like_a_secret(text: str) -> None:
    """A header without a key, a hash in a manual, a vendor's example and a short word are no secrets."""
    assert list(find_secrets(text.encode())) == []
    assert scan(text.encode()) == []


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("password=hunter22", True),
        ("API_KEY: 'abcdefgh'", True),
        ("db_password = correct", True),
        ("password=", False),
        ("password=${PASSWORD}", False),
        ("compass=north", False),
    ],
)
def test_weak_patterns(text: str, found: bool) -> None:
    """A setting with a value is a weak secret; an empty one or a variable is none."""
    weak = [pattern for pattern in SECRETS if pattern.strength is Strength.WEAK]
    assert bool(list(find_secrets(text.encode(), weak))) is found


def test_fingerprint_is_that_of_the_secret_alone() -> None:
    """The same secret has the same fingerprint wherever it is, and another one another."""
    token, other = EXAMPLES["GitHub token"][:2]
    first = next(find_secrets(f"a {token} b".encode()))
    second = next(find_secrets(f"elsewhere:\n{token}".encode()))
    assert first.fingerprint == second.fingerprint
    assert next(find_secrets(other.encode())).fingerprint != first.fingerprint


def test_every_literal_is_scanned_for() -> None:
    """The fast search covers each literal of the strong patterns."""
    assert not UNSCANNED


pieces = st.one_of(
    st.sampled_from([text.encode() for _, text in ALL]),
    st.sampled_from([text[:length].encode() for _, text in ALL for length in (5, 19, 30)]),
    st.binary(max_size=40),
    st.sampled_from([b"-" * 30, b"x" * 19, b"x" * 21, b"\0" * 4096, b"a_b-" * 1500, b" word" * 900, b"\n", b"=", b"!"]),
)


@settings(max_examples=400, deadline=None)
@given(st.lists(pieces, max_size=12))
def test_fast_search_finds_the_same(parts: list[bytes]) -> None:
    """Whatever stands next to what, the fast search finds what the plain one finds."""
    data = b"".join(parts)
    assert scan(data) == sorted(find_secrets(data), key=lambda each: (each.offset, each.kind))


@pytest.mark.parametrize("shift", [*range(-500, 20, 130), -LONGEST_SECRET, -LONGEST_SECRET - 1, -64, -65, -1, 0, 1])
@pytest.mark.parametrize("kind", ["private key", "GitHub token", "AWS access key"])
def test_secret_across_two_pieces(tmp_path: Path, kind: str, shift: int) -> None:
    """A secret that lies across the border of two pieces is found once, with the same fingerprint."""
    path = tmp_path / "disk.raw"
    text = EXAMPLES[kind][0].encode()
    content = bytearray(b"." * (PIECE + (64 << 10)))
    at = 512 + PIECE + shift
    content[at : at + len(text)] = text
    path.write_bytes(content)
    expected = next(find_secrets(text + b"."))
    with open_raw(path) as disk:
        found = scan_ranges(disk, [(512, len(content) - 512)])
    assert found.secrets == [Secret(expected.kind, expected.strength, at, expected.length, expected.fingerprint)]
    assert found.used_bytes == len(content) - 512


@pytest.mark.parametrize("at", [0, PIECE - 2000, PIECE - 100, 2 * PIECE, 3 * PIECE - 100])
def test_secret_between_zeros(tmp_path: Path, at: int) -> None:
    """Zeros around a secret are skipped, and the secret is not."""
    path = tmp_path / "disk.raw"
    text = EXAMPLES["AWS access key"][0].encode()
    content = bytearray(3 * PIECE)
    content[at : at + len(text)] = text
    path.write_bytes(content)
    with open_raw(path) as disk:
        found = scan_ranges(disk, [(0, 3 * PIECE)])
    assert [each.offset for each in found.secrets] == [at]
    assert found.used_bytes == 4096


def test_secret_is_not_joined_over_a_gap(tmp_path: Path) -> None:
    """Two ranges that do not touch are searched apart, and only inside."""
    path = tmp_path / "disk.raw"
    text = EXAMPLES["AWS access key"][0].encode()
    path.write_bytes(b"." * 100 + text[:10] + b"." * 90 + text[10:] + b" " + text + b"." * 100)
    with open_raw(path) as disk:
        assert scan_ranges(disk, [(100, 10), (200, 10)]).secrets == []


def test_used_bytes_are_counted_by_blocks() -> None:
    """A block with one byte counts whole, a block of zeros not at all."""
    assert count_used(bytes(PIECE)) == 0
    assert count_used(bytes(5000) + b"x" + bytes(PIECE - 5001)) == 4096
    assert count_used(b"x" * 100) == 100
    assert count_used(bytes(100)) == 0


def test_keys_of_ssh_keygen_are_found(tmp_path: Path) -> None:
    """What ssh-keygen writes today is a private key, and its public half is none."""
    run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", os.fspath(tmp_path / "key")])
    assert [each.kind for each in find_secrets((tmp_path / "key").read_bytes())] == ["private key"]
    assert list(find_secrets((tmp_path / "key.pub").read_bytes())) == []
