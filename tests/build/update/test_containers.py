"""``images.json``: what it may hold, and how a real registry's newest version comes into it."""

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import pytest

from imagekit.build.update.containers import (
    Container,
    describe_change,
    encode_containers,
    parse_containers,
    renew_container,
)
from imagekit.errors import DefinitionInvalid, HostFailed
from imagekit.host import run
from imagekit.host.here import ThisMachine
from tests.build.update.real_registry import RealRegistry

DIGEST = f"sha256:{'a' * 64}"
HASH = "sha256-lDebytrYdd47IBLwvNOD+6AGeoqZ78CIKlp70hzW280="
DOCUMENT = {"pihole": {"name": "docker.io/pihole/pihole", "tag": "2025.08.0", "digest": DIGEST, "hash": None, "x": 1}}


def test_what_is_read_is_written() -> None:
    """Only what changed is written anew; keys of others, their order and a hash stay."""
    data = json.dumps({"b": {**DOCUMENT["pihole"], "hash": HASH}, **DOCUMENT}).encode()
    read = parse_containers(data, "images.json")
    assert read["b"].hash == HASH
    written = json.loads(encode_containers(data, {"pihole": replace(read["pihole"], tag="2025.10.0")}))
    assert list(written) == ["b", "pihole"]
    assert written["pihole"] == {**DOCUMENT["pihole"], "tag": "2025.10.0"}
    assert written["b"] == json.loads(data)["b"]


@pytest.mark.parametrize(
    ("document", "said"),
    [
        ("no json", "is not JSON"),
        ("[]", "no table"),
        ('{"a": 1}', "is no container"),
        ('{"a": {"name": "x", "tag": "$(id)", "digest": "sha256:0"}}', "no usable tag"),
        ('{"a": {"name": "x", "tag": "1", "digest": "sha256:0"}}', "no usable digest"),
        (json.dumps({"a": {"tag": "1", "digest": DIGEST}}), "no usable name"),
        (json.dumps({"a": {"name": "x", "tag": "1", "digest": DIGEST, "hash": "1"}}), "hash that is none"),
    ],
)
def test_what_is_no_lock_of_containers(document: str, said: str) -> None:
    """A file that cannot be one is refused with its name and the place in it."""
    with pytest.raises(DefinitionInvalid, match=said) as caught:
        parse_containers(document.encode(), "images.json")
    assert "images.json" in caught.value.message


def test_newer_tag_and_its_digest(registry: RealRegistry) -> None:
    """A registry's newest tag of the same kind comes with the digest of what can be pulled under it."""
    old = registry.push("c/newer", "2025.08.0", b"old")
    new = registry.push("c/newer", "2025.10.1", b"new")
    registry.push("c/newer", "nightly", b"tonight")
    before = Container(f"{registry.host}/c/newer", "2025.08.0", old, None)
    after = renew_container(before, ThisMachine())
    assert after == replace(before, tag="2025.10.1", digest=new)
    assert renew_container(after, ThisMachine()) == after
    change = describe_change("x", before, after)
    assert (change.before, change.after, change.note) == (f"2025.08.0 {old[:19]}", f"2025.10.1 {new[:19]}", "")


def test_tag_that_was_pushed_again(registry: RealRegistry) -> None:
    """A tag that stays and means something else gets the new digest."""
    old = registry.push("c/moving", "latest", b"old")
    new = registry.push("c/moving", "latest", b"new")
    before = Container(f"{registry.host}/c/moving", "latest", old, None)
    assert renew_container(before, ThisMachine()) == replace(before, digest=new)


def test_another_board_is_no_update(registry: RealRegistry) -> None:
    """A newer image that no longer runs on the board is a problem, and nothing is taken of it."""
    registry.push("c/board", "2", b"new", architecture="amd64")
    with pytest.raises(HostFailed, match="no longer made for arm64"):
        renew_container(Container(f"{registry.host}/c/board", "1", DIGEST, None), ThisMachine())


def test_hash_is_dropped_with_a_note(registry: RealRegistry, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Without Nix's tool for it a hash cannot be found, so it goes, and the operator is told what that means."""
    monkeypatch.setenv("PATH", str(tmp_path))
    new = registry.push("c/hash", "2", b"new")
    before = Container(f"{registry.host}/c/hash", "1", DIGEST, HASH)
    after = renew_container(before, ThisMachine())
    assert (after.digest, after.hash) == (new, None)
    assert "pulled at the first start" in describe_change("unbound", before, after).note


@pytest.mark.parametrize("key", ["sha256", "hash"])
def test_hash_is_found_by_nix(
    registry: RealRegistry, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, key: str
) -> None:
    """Where nixpkgs' script is there it is asked, by the digest; its base 32 is read as Nix itself converts it."""
    raw = hashlib.sha256(b"archive").hexdigest()
    convert = ["nix", "--extra-experimental-features", "nix-command", "hash"]
    sri = run([*convert, "to-sri", "--type", "sha256", raw]).output.decode().strip()
    base32 = run([*convert, "to-base32", "--type", "sha256", raw]).output.decode().strip()
    script = tmp_path / "nix-prefetch-docker"
    answer = json.dumps({key: sri if key == "hash" else base32})
    script.write_text(f"#!/bin/sh\necho \"$*\" > {tmp_path}/asked\necho '{answer}'\n")
    script.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    new = registry.push("c/found", "2", b"new")
    after = renew_container(Container(f"{registry.host}/c/found", "1", DIGEST, HASH), ThisMachine())
    assert after.hash == sri
    asked = (tmp_path / "asked").read_text()
    assert f"--image-digest {new}" in asked
    assert "--arch arm64" in asked
    assert "--final-image-tag 2" in asked
    script.write_text("#!/bin/sh\nexit 1\n")
    assert renew_container(Container(f"{registry.host}/c/found", "1", DIGEST, HASH), ThisMachine()).hash is None
