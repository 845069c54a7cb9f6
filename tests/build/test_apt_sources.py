"""Which mirrors of this machine a build uses: samples as distributions and vendors write them."""

from pathlib import Path

import pytest

from imagekit.build import apt_sources
from imagekit.build.apt_sources import (
    KEYRING,
    AptSource,
    choose_sources,
    parse_deb822,
    parse_one_line,
    read_machine_sources,
    require_keyring,
)
from imagekit.definition.model import Release
from imagekit.errors import ToolMissing

ONE_LINE = """\
# See sources.list(5)
deb http://deb.debian.example/debian bookworm main contrib # the usual
deb-src http://deb.debian.example/debian bookworm main
deb http://deb.debian.example/debian bookworm-updates main
deb\t[ arch=amd64 signed-by=/usr/share/keyrings/debian-archive-keyring.gpg ] http://security.debian.example/debian-security bookworm-security main

  # deb http://deb.debian.example/debian bookworm-backports main
deb http://broken.example
"""  # noqa: E501 - a recorded line
DEB822 = """\
# Debian 13, as its installer writes it
Types: deb deb-src
URIs: http://deb.debian.example/debian/
Suites: trixie
  trixie-updates
Components: main non-free-firmware
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg

Types: deb
# a comment inside a stanza
URIs: http://security.debian.example/debian-security/
Suites: trixie-security
Components: main
Signed-By:
 -----BEGIN PGP PUBLIC KEY BLOCK-----
 .
 mQINBGPL0BUBEADmW5NdOOHwPIJlgPu6JDcKw/NZJPR8lsD3K87ZM18g
 Version: 1
 -----END PGP PUBLIC KEY BLOCK-----

Enabled: no
Types: deb
URIs: http://deb.debian.example/debian
Suites: sid
Components: main

Types: deb-src
URIs: http://deb.debian.example/debian
Suites: forky
Components: main
"""
DEBIAN = AptSource("http://deb.debian.example/debian", "bookworm", ("main",))


def test_one_line_entries_are_read() -> None:
    """Binary entries count, with options and comments; sources, comments and broken lines do not."""
    found = tuple(parse_one_line(ONE_LINE))
    assert [(source.suite, source.components) for source in found] == [
        ("bookworm", ("main", "contrib")),
        ("bookworm-updates", ("main",)),
        ("bookworm-security", ("main",)),
    ]
    assert [source.signed_by for source in found] == ["", "", str(KEYRING)]


def test_deb822_stanzas_are_read() -> None:
    """Every suite of an enabled binary stanza counts; an embedded key means the default keyring."""
    assert tuple(parse_deb822(DEB822)) == (
        AptSource("http://deb.debian.example/debian/", "trixie", ("main", "non-free-firmware"), str(KEYRING)),
        AptSource("http://deb.debian.example/debian/", "trixie-updates", ("main", "non-free-firmware"), str(KEYRING)),
        AptSource("http://security.debian.example/debian-security/", "trixie-security", ("main",), ""),
    )


@pytest.mark.parametrize("word", ["no", "False", "off", "without", "disable"])
def test_disabled_stanza_does_not_count(word: str) -> None:
    """Every word that apt takes for "no" disables a stanza."""
    assert list(parse_deb822(f"Types: deb\nURIs: http://x\nSuites: sid\nComponents: main\nEnabled: {word}\n")) == []


def test_key_fingerprint_means_the_default_keyring() -> None:
    """A fingerprint chooses a key from a keyring that the room does not have; Debian's own decides then."""
    (source,) = parse_one_line("deb [signed-by=0123ABCD] http://deb.debian.example/debian bookworm main")
    assert source.signed_by == ""
    assert source.format_line() == f"deb [signed-by={KEYRING}] http://deb.debian.example/debian bookworm main"


def test_machine_is_read_in_apts_order(tmp_path: Path) -> None:
    """sources.list first, then *.list and *.sources by name; other files are none of apt's."""
    parts = tmp_path / "sources.list.d"
    parts.mkdir()
    (tmp_path / "sources.list").write_text("deb http://one.example/debian bookworm main\n")
    (parts / "b.list").write_text("deb http://three.example/debian bookworm main\n")
    (parts / "a.list").write_text("deb http://two.example/debian bookworm main\n")
    (parts / "c.sources").write_text("Types: deb\nURIs: http://four.example\nSuites: sid\nComponents: main\n")
    (parts / "d.list.save").write_text("deb http://never.example/debian bookworm main\n")
    hosts = [source.uri.split("/")[2].split(".")[0] for source in read_machine_sources(tmp_path)]
    assert hosts == ["one", "two", "three", "four"]
    assert read_machine_sources(tmp_path / "missing") == ()


@pytest.mark.parametrize("text", [ONE_LINE, DEB822])
def test_any_debian_mirror_serves_any_release(text: str) -> None:
    """A machine with one Debian release builds the other from the same mirrors, with ``main`` only."""
    sources = (*parse_one_line(text), *parse_deb822(text))
    for release in Release:
        chosen = choose_sources(sources, release)
        assert [source.suite for source in chosen] == [f"{release}", f"{release}-security", f"{release}-updates"]
        assert all(source.components == ("main",) for source in chosen)


def test_ubuntu_machine_has_no_debian_mirror() -> None:
    """Ubuntu's releases are not Debian's, so nothing is chosen and the caller takes Debian's defaults."""
    text = "deb http://archive.ubuntu.com/ubuntu noble main\ndeb http://security.ubuntu.com/ubuntu noble-security main"
    assert choose_sources(tuple(parse_one_line(text)), Release.BOOKWORM) == ()


VENDORS = [
    "deb [arch=amd64] https://dl.google.com/linux/chrome/deb/ stable main",
    "deb [signed-by=/usr/share/keyrings/hashicorp.gpg] https://apt.releases.hashicorp.com bookworm main",
    "deb [signed-by=/etc/apt/keyrings/grafana.gpg] https://apt.grafana.com stable main",
    "deb https://packages.vendor.example/apt cloud-sdk-bookworm main",
    "deb https://deb.vendor.example/node_20.x nodistro main",
    "deb [signed-by=/k.gpg] https://apt.postgresql.org/pub/repos/apt bookworm-pgdg main",
    "deb https://download.docker.com/linux/debian bookworm stable",
    "deb http://deb.debian.example/debian bookworm-backports main",
]


@pytest.mark.parametrize("line", VENDORS)
def test_vendor_repository_is_never_debian(line: str) -> None:
    """A vendor's suite may be called stable or bookworm, and its component main; it is passed over all the same."""
    (vendor,) = parse_one_line(line)
    assert choose_sources((vendor,), Release.BOOKWORM) == ()
    assert choose_sources((vendor, DEBIAN), Release.BOOKWORM) == (DEBIAN,)


def test_debians_keyring_comes_before_other_keys() -> None:
    """A vendor with /debian in its address and a key of its own, listed first, does not displace Debian's mirror."""
    vendor = AptSource("https://packages.microsoft.com/debian/12/prod", "bookworm", ("main",), "/k/microsoft.gpg")
    signed = AptSource(
        "http://mirror.example/d", "bookworm", ("main",), "/usr/share/keyrings/debian-archive-keyring.pgp"
    )
    assert choose_sources((vendor, DEBIAN), Release.BOOKWORM) == (DEBIAN,)
    assert choose_sources((vendor, DEBIAN, signed), Release.BOOKWORM) == (signed,)


def test_mirror_that_signs_anew_is_used() -> None:
    """A company's mirror of Debian with its own key serves when there is no other."""
    mirror = AptSource("https://user:pw@apt.example/debian-mirror", "bookworm", ("main",), "/etc/apt/keyrings/us.gpg")
    (chosen,) = choose_sources((mirror,), Release.TRIXIE)
    assert chosen.format_line() == (
        "deb [signed-by=/etc/apt/keyrings/us.gpg] https://user:pw@apt.example/debian-mirror trixie main"
    )


def test_user_name_in_an_address_does_not_make_it_debian() -> None:
    """What stands before the @ is a credential and says nothing about what the mirror holds."""
    assert (
        choose_sources((AptSource("https://debian:pw@apt.example/x", "bookworm", ("main",)),), Release.BOOKWORM) == ()
    )


def test_missing_keyring_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Without Debian's keys nothing can be verified: exit 9 and the package's name."""
    monkeypatch.setattr(apt_sources, "KEYRING", tmp_path / "none.gpg")
    with pytest.raises(ToolMissing) as caught:
        require_keyring()
    assert "debian-archive-keyring" in (caught.value.hint or "")
