"""Our Nix files as files: they parse, they are whole, and nothing in them is secret or of another age."""

import json
import re
from pathlib import Path

import pytest

from tests.nix.conftest import NIX_FILES, ROOT, Evaluator

# What Pi-hole 5 was told by, and 6 passes over without a word. WEBPASSWORD_FILE is one that 6 knows.
_VERSION_5 = (
    r"WEBPASSWORD(?!_FILE)|PIHOLE_DNS|\bDNS[12]\b|DNSMASQ_|ServerIP|VIRTUAL_HOST|CONDITIONAL_FORWARDING|\bREV_SERVER|"
    r"\bQUERY_LOGGING|INTERFACE:|DNSSEC:|\bWEB_PORT|\bWEBTHEME|\bADMIN_EMAIL|\bTEMPERATUREUNIT|etc-dnsmasq"
)
_SECRETS = (
    r"PRIVATE KEY-----|\$(?:1|2[aby]|5|6|7|y)\$[./A-Za-z0-9$]{8,}|(?i:password|secret|token)\s*=\s*\"[^\"$/!]{3,}\""
)


@pytest.mark.parametrize("path", NIX_FILES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_every_file_is_read_by_nix(nix: Evaluator, path: Path) -> None:
    """Nix 2.8's parser takes each file: nothing in it is newer."""
    assert nix.store.run("nix-instantiate", "--parse", path).output.strip()


def test_broken_file_would_be_seen(nix: Evaluator, tmp_path: Path) -> None:
    """The parser that the tests run does refuse a file with a mistake."""
    (tmp_path / "x.nix").write_text("{ a = 1 }")
    seen = nix.store.run("nix-instantiate", "--parse", tmp_path / "x.nix", check=False)
    assert seen.status != 0
    assert "syntax error" in seen.errors


@pytest.mark.parametrize("path", NIX_FILES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_files_are_short_and_say_what_they_are(path: Path) -> None:
    """Each file begins with a sentence about itself, has a screenful or two, and no tabs or trailing spaces."""
    lines = path.read_text().splitlines()
    if path.name != "flake.nix":
        assert re.match(r"# \S", lines[0]), lines[0]
    assert len(lines) <= 400
    assert [line for line in lines if line != line.rstrip() or "\t" in line or len(line) > 140] == []


@pytest.mark.parametrize("path", NIX_FILES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_no_secret_and_nothing_of_version_5(path: Path) -> None:
    """No password, hash or private key is in the tree, and no variable that only Pi-hole 5 knew."""
    text = path.read_text()
    assert re.findall(_SECRETS, text) == []
    assert re.findall(_VERSION_5, text) == []


def test_search_for_secrets_finds_some() -> None:
    """What is searched for is found where it is: an assignment, a hash, a key, a variable of version 5."""
    for text in (
        'hashedPassword = "$6$abcdefgh$ijk"',
        'webPassword = "hunter2"',
        "-----BEGIN OPENSSH PRIVATE KEY-----",
    ):
        assert re.search(_SECRETS, text), text
    for text in ('WEBPASSWORD = "x"', 'PIHOLE_DNS_ = "1.1.1.1"', 'DNS1 = "x"'):
        assert re.search(_VERSION_5, text), text


def test_a_checkout_has_no_values_of_a_site() -> None:
    """site.json is written into a copy by a build, and is nobody's to commit."""
    assert not (ROOT / "nix" / "site.json").exists()


def test_images_are_pinned() -> None:
    """Each container has a name with its registry, a tag, a digest, and a hash or an explicit null."""
    images = json.loads((ROOT / "nix" / "pihole" / "images.json").read_text())
    assert set(images) == {"pihole", "unbound"}
    for image in images.values():
        assert list(image) == ["name", "tag", "digest", "hash"]
        assert re.fullmatch(r"[a-z0-9.-]+\.[a-z]+/[a-z0-9-]+/[a-z0-9-]+", image["name"])
        assert re.fullmatch(r"[\w][\w.-]{0,127}", image["tag"])
        assert re.fullmatch(r"sha256:[0-9a-f]{64}", image["digest"])
        assert image["hash"] is None or re.fullmatch(r"sha256-[A-Za-z0-9+/]{43}=", image["hash"])
    # Version 6 of Pi-hole is what FTLCONF_ variables are for; its images are named by date since 2025.02.0.
    assert images["pihole"]["tag"] >= "2025.02.0"
