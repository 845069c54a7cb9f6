"""The nouns that travel: text becomes a reference, version or digest once, and back without loss."""

import string
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imagekit.errors import DefinitionInvalid
from imagekit.image import NAME_PATTERN, ClusterPlace, Digest, Reference, VersionId, format_bytes, parse_name

_HEX = "0123456789abcdef"
_EDGE = string.ascii_lowercase + string.digits

names = st.from_regex(NAME_PATTERN, fullmatch=True)
versions = st.builds(VersionId, st.dates(), st.integers(1, 999_999))
digests = st.builds(Digest, st.text(_HEX, min_size=12, max_size=64))


def _is_channel(text: str) -> bool:
    try:
        VersionId.parse(text)
    except ValueError:
        return not (text[:8].isdigit() and text[8:9] == "-")
    return False


references = st.builds(Reference, names, st.none() | versions | digests | names.filter(_is_channel))


@given(versions)
def test_version_round_trip(version: VersionId) -> None:
    """A version is read back from its own text, in every year that a date can have."""
    assert VersionId.parse(str(version)) == version


@given(digests)
def test_digest_round_trip(digest: Digest) -> None:
    """A digest is read back from its own text."""
    assert Digest.parse(str(digest)) == digest


@given(references)
def test_reference_round_trip(reference: Reference) -> None:
    """A reference is read back from its own text, whatever selects its version."""
    assert Reference.parse(str(reference)) == reference


@given(st.text(max_size=40))
def test_any_text_is_reference_or_refused(text: str) -> None:
    """No text breaks the parser: it is a reference that prints as it was written, or it is refused."""
    try:
        reference = Reference.parse(text)
    except DefinitionInvalid:
        return
    assert str(reference) == text


@given(st.lists(versions))
def test_versions_sort_by_day_then_serial(found: list[VersionId]) -> None:
    """Versions sort by age, so serial 10 comes after serial 9."""
    assert sorted(found) == sorted(found, key=lambda version: (version.day, version.serial))


@pytest.mark.parametrize(
    "text",
    ["", "20261121", "20261121-0", "20261121-01", "20261301-1", "20260230-1", "00000101-1", "2026112-1", "20261121-1 ",
     "20261121-1\n", "٢٠٢٦١١٢١-1", "20261121-1234567", "-1"],
)  # fmt: skip
def test_version_refuses(text: str) -> None:
    """What is not a day of the calendar and a serial from 1, in ASCII digits, is no version."""
    with pytest.raises(ValueError, match=r"version|month|day|year"):
        VersionId.parse(text)


@pytest.mark.parametrize("text", ["", "sha256:", "sha256:" + "a" * 11, "sha256:" + "a" * 65, "sha256:" + "A" * 12,
                                  "sha1:" + "a" * 40, "a" * 64, "sha256:" + "g" * 12])  # fmt: skip
def test_digest_refuses(text: str) -> None:
    """A digest has its algorithm and 12 to 64 lower-case digits."""
    with pytest.raises(ValueError, match="digest"):
        Digest.parse(text)


def test_short_digest_matches_its_full_one() -> None:
    """An abbreviation stands for every digest that begins with it, and a full one only for itself."""
    full, other = Digest("ab" * 32), Digest("ab" * 31 + "cd")
    assert Digest("ab" * 6).matches(full)
    assert not Digest("cd" * 6).matches(full)
    assert full.matches(full)
    assert not full.matches(other)
    assert full.short == "ab" * 6


@pytest.mark.parametrize(
    ("text", "selector"),
    [
        ("template", None),
        ("template@stable", "stable"),
        ("template@20261121-2", VersionId(date(2026, 11, 21), 2)),
        ("template@sha256:0123456789ab", Digest("0123456789ab")),
    ],
)
def test_reference_selector(text: str, selector: object) -> None:
    """The part after '@' is a version, a digest or a channel by its form."""
    assert Reference.parse(text) == Reference("template", selector)  # type: ignore[arg-type] # any of the three


@pytest.mark.parametrize(
    "text",
    ["", "@stable", "Template", "a_b", "-a", "a-", "a" * 64, "template@", "template@Stable", "template@sha256:abc",
     "template@20261345-1", "a@b@c", "template\n", "../x", "template@../x", "a/b"],
)  # fmt: skip
def test_reference_refuses(text: str) -> None:
    """A part that cannot be what it stands for is refused with a hint; a wrong date is not taken for a channel."""
    with pytest.raises(DefinitionInvalid) as caught:
        Reference.parse(text)
    assert caught.value.hint


@given(
    st.text(_EDGE, min_size=1, max_size=1), st.text(_EDGE + "-", max_size=61), st.text(_EDGE, min_size=1, max_size=1)
)
def test_names_are_safe_in_dns_and_tags(first: str, middle: str, last: str) -> None:
    """Every name that follows the rule is taken as it is, and the same name in capitals is not."""
    name = first + middle + last
    assert parse_name(name) == name
    if name.upper() != name:
        with pytest.raises(DefinitionInvalid):
            parse_name(name.upper())


def test_parse_name_says_what() -> None:
    """The message names what could not be named."""
    with pytest.raises(DefinitionInvalid, match="channel 'X'"):
        parse_name("X", what="channel")


@pytest.mark.parametrize(
    ("count", "shown"),
    [(0, "0 B"), (1023, "1023 B"), (1024, "1.0 KiB"), (2 << 30, "2.0 GiB"), (5000 << 40, "5000.0 TiB")],
)
def test_size_is_shown_in_binary_units(count: int, shown: str) -> None:
    """A size in bytes is shown in the largest binary unit that keeps it above one."""
    assert format_bytes(count) == shown


@pytest.mark.parametrize(
    ("url", "cluster"),
    [
        ("https://PVE.example:8006", "pve.example:8006"),
        ("https://pve.example", "pve.example:8006"),
        ("https://user:secret@192.0.2.7:443/api2/json", "192.0.2.7:443"),
        ("https://[2001:DB8::7]:8006", "[2001:db8::7]:8006"),
    ],
)
def test_cluster_is_host_and_port(url: str, cluster: str) -> None:
    """A place names a cluster by its API's host and port and by nothing else of the address."""
    place = ClusterPlace.parse(url, "node1", 9100, "mark")
    assert place == ClusterPlace(cluster, "node1", 9100, "mark")
    assert str(place) == "VM 9100 on node1"


@pytest.mark.parametrize(
    ("cluster", "node", "vm_id", "mark"),
    [
        ("root:canary@pve.example:8006", "node1", 9100, ""),
        ("https://pve.example:8006", "node1", 9100, ""),
        ("pve.example", "node1", 9100, ""),
        ("pve.example:8006", "", 9100, ""),
        ("pve.example:8006", "node1/x", 9100, ""),
        ("pve.example:8006", "node1", 99, ""),
        ("pve.example:8006", "node1", 10**9, ""),
        ("pve.example:8006", "node1", 9100, "a b"),
        ("pve.example:8006", "node1", 9100, "a" * 129),
    ],
)
def test_impossible_place_is_refused(cluster: str, node: str, vm_id: int, mark: str) -> None:
    """What cannot be a place is no value at all, and a login in it is not repeated."""
    with pytest.raises(ValueError, match=r"cluster|node|VM id|mark") as caught:
        ClusterPlace(cluster, node, vm_id, mark)
    assert "canary" not in str(caught.value)


@pytest.mark.parametrize("url", ["", "pve.example:8006", "https://", "https://pve.example:99999"])
def test_address_without_a_host_is_no_cluster(url: str) -> None:
    """An address from which no host and port can be read is refused."""
    with pytest.raises(ValueError, match=r"HOST:PORT|[Pp]ort"):
        ClusterPlace.parse(url, "node1", 9100)
