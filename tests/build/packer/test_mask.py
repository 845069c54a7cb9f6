"""Secrets in every shape, whole and cut in two, never come through."""

import base64
import json
import re
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from imagekit.build.packer.mask import MASK, Masker, MaskStream

_SECRET = 'c@nary, "one"/+=&<two>\\'


def stream(masker: Masker, text: str, size: int, limit: int = 1 << 16) -> str:
    """Mask ``text`` in pieces of ``size`` characters."""
    masked = MaskStream(masker, limit)
    return "".join(masked.feed(text[start : start + size]) for start in range(0, len(text), size)) + masked.close()


@pytest.mark.parametrize(
    "form",
    [
        _SECRET,
        f"PKR_VAR_token={_SECRET}",
        quote(_SECRET),
        quote(_SECRET, safe=""),
        quote_plus(_SECRET),
        json.dumps({"a": _SECRET}),
        json.dumps(json.dumps(_SECRET)),
        json.dumps(_SECRET).replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e"),
        _SECRET.replace(",", "%!(PACKER_COMMA)"),
        _SECRET.encode().hex(),
        base64.b64encode(_SECRET.encode()).decode(),
        base64.urlsafe_b64encode(_SECRET.encode()).decode(),
        *(base64.b64encode(b"u" * count + _SECRET.encode() + b"tail").decode() for count in range(1, 4)),
        _SECRET.replace(" ", "\n"),
    ],
)
def test_known_value_is_masked_in_every_form(form: str) -> None:
    """A secret as URLs, JSON, Packer and base64 write it is masked, and nothing of it is left."""
    masked = Masker([_SECRET]).mask(f"before {form} after")
    assert MASK in masked
    assert masked.startswith("before ")
    assert masked.endswith(" after")
    for piece in ("nary", "two", _SECRET.encode().hex()[8:20], base64.b64encode(_SECRET.encode()).decode()[4:20]):
        assert piece not in masked


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("PVEAPIToken=root@pam!ci=canary-1", "PVEAPIToken=<masked>"),
        ("Authorization: PVEAPIToken=root@pam!ci=canary\r\nHost: x", "Authorization: <masked>\r\nHost: x"),
        ("authorization: Basic canary==", "authorization: <masked>"),
        ("Proxy-Authorization: Basic canary", "Proxy-Authorization: <masked>"),
        ("map[Authorization:[Bearer canary] Accept:[x]]", "map[Authorization:[<masked>] Accept:[x]]"),
        ('"Authorization":[]string{"canary"}', '"Authorization":[]string{"<masked>"}'),
        ('{"Authorization": "canary canary"}', '{"Authorization": "<masked>"}'),
        ("Cookie: PVEAuthCookie=PVE%3Aroot@pam%3Acanary; a=b", "Cookie: <masked>"),
        ("Set-Cookie: x=canary; Path=/", "Set-Cookie: <masked>"),
        ("PVEAuthCookie=canary; a=b", "PVEAuthCookie=<masked>; a=b"),
        ("connect via VNC\nwith the password: Vf1N3WJt", "connect via VNC\nwith the password: <masked>"),
        ("CSRFPreventionToken: 4EEC61E2:canary", "CSRFPreventionToken: <masked>"),
        ('"CSRFPreventionToken":"4EEC61E2:canary","x":1', '"CSRFPreventionToken":"<masked>","x":1'),
        ('"ticket":"PVE:root@pam:4EEC61E2::canarycanarycanary=="', '"ticket":"<masked>"'),
        ("https://user:canary@host.example/x", "https://user:<masked>@host.example/x"),
        (
            "a -----BEGIN RSA PRIVATE KEY-----\ncanary\n-----END RSA PRIVATE KEY----- b",
            "a <masked> b",
        ),
        (
            'key = "-----BEGIN OPENSSH PRIVATE KEY-----\\ncanary\\n-----END OPENSSH PRIVATE KEY-----\\n"',
            'key = "<masked>\\n"',
        ),
        ("-----BEGIN PRIVATE KEY-----\ncanary", "<masked>"),
    ],
)
def test_credentials_are_known_by_their_shape(text: str, masked: str) -> None:
    """Headers, tickets and keys are masked without being known, and what is around them stays."""
    assert Masker().mask(text) == masked


@pytest.mark.parametrize(
    "text",
    [
        "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----",
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAA packer",
        "https://host.example:8006/api2/json",
        "the authorization failed",
        "2026-11-21 10:00:00 PVE: ready",
    ],
)
def test_other_text_stays(text: str) -> None:
    """What only resembles a credential is left readable."""
    assert Masker(["canary"]).mask(text) == text


def test_short_values_are_left() -> None:
    """A value under four characters is no secret, and masking it would ruin the log."""
    assert Masker(["abc", "", "  ", "d"]).mask("abcd") == "abcd"


def test_each_line_of_a_value_counts() -> None:
    """A key that a log shows line by line is masked line by line."""
    assert Masker(["firstline\nsecondline\n"]).mask("x firstline\ny secondline") == "x <masked>\ny <masked>"


def test_longer_secrets_come_first() -> None:
    """A secret that contains another leaves no end behind."""
    assert Masker(["canary", "canary-longer"]).mask("canary-longer canary") == "<masked> <masked>"


def test_masker_shows_nothing() -> None:
    """The masker's own repr, and that of one that was extended, hold no secret; both know theirs."""
    extended = Masker(["canaryOne"]).extend(["canaryTwo"])
    assert "canary" not in repr(Masker(["canaryOne"])) + repr(extended)
    assert extended.mask("canaryOne canaryTwo") == "<masked> <masked>"


@pytest.mark.parametrize("size", [1, 2, 3, 7, 100, 100_000])
def test_stream_masks_across_pieces(size: int) -> None:
    """However a log arrives, what is written is what would have been written at once; keys span lines."""
    text = (
        "one canarySecret two\nAuthorization: canary canary\n"
        "-----BEGIN RSA PRIVATE KEY-----\ncanaryLine\ncanaryLine\n-----END RSA PRIVATE KEY-----\nthree\n"
        "no newline canarySecret"
    )
    expected = "one <masked> two\nAuthorization: <masked>\n<masked>\n\nthree\nno newline <masked>"
    assert re.sub(r"\n+", "\n", stream(Masker(["canarySecret"]), text, size)) == re.sub(r"\n+", "\n", expected)


def test_key_without_end_hides_a_part_only() -> None:
    """A key that never ends does not swallow the log for ever."""
    text = "-----BEGIN PRIVATE KEY-----\n" + "line\n" * 1000 + "last\n"
    masked = stream(Masker(), text, 50)
    assert masked.startswith(MASK)
    assert masked.endswith("last\n")


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 400_000), st.integers(1000, 50_000), st.sampled_from(["canary" * 20, "PVEAPIToken=canary" * 9]))
def test_endless_line_has_no_seam(place: int, size: int, word: str) -> None:
    """In a line that never ends a secret is masked wherever the pieces are cut."""
    text = "x" * place + " " + word + " " + "y" * (400_000 - place)
    masked = stream(Masker(["canary" * 20]), text, size)
    assert "canary" not in masked
    assert masked.count("x") == place
    assert masked.count("y") == 400_000 - place


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.text(min_size=4, max_size=30), st.text(max_size=20), st.text(max_size=20))
def test_any_value_goes(secret: str, before: str, after: str) -> None:
    """Any value of four characters or more is gone from any text, unless the text around makes it anew."""
    value = secret.strip()
    assume(len(value) >= 4 and value not in before and value not in after and value not in MASK)
    masked = Masker([secret]).mask(f"{before}\n{value}\n{after}")
    assert value not in masked.split("\n") or value in f"{before}\n{after}"
    assert MASK in masked


@given(st.text(max_size=200), st.integers(1, 50))
def test_any_text_streams(text: str, size: int) -> None:
    """Text without secrets comes out as it went in."""
    assume(not re.search(r"PRIVATE KEY|PVE|://|ookie|uthorization", text))
    assert stream(Masker(["canarySecret"]), text, size) == text
