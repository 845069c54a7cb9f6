"""The seed disk, read back with the library and by its documents."""

import email
import io
import json
import stat
from pathlib import Path

import pycdlib
import pytest
import yaml

from imagekit.errors import DefinitionInvalid
from imagekit.machine.seed import Seed, make_seed, write_seed, write_seed_iso

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl test"


def _read(path: Path) -> dict[str, bytes]:
    iso = pycdlib.PyCdlib()
    iso.open(str(path))
    try:
        names = [child.file_identifier().decode("utf-16-be") for child in iso.list_children(joliet_path="/")]
        documents = {}
        for name in names:
            if name.strip("\0\x01. ") and not name.startswith("\0"):
                content = io.BytesIO()
                iso.get_file_from_iso_fp(content, joliet_path=f"/{name}")
                documents[name] = content.getvalue()
        return documents
    finally:
        iso.close()


def test_seed_disk_holds_what_cloud_init_looks_for(tmp_path: Path) -> None:
    """The label is CIDATA, the names are exact in both name spaces, and only the owner may read the file."""
    path = tmp_path / "seed.iso"
    seed = Seed(b"#cloud-config\n{}\n", b"instance-id: a\n", b"version: 2\n")
    write_seed(path, seed)
    assert path.read_bytes()[16 * 2048 + 40 : 16 * 2048 + 72].strip() == b"CIDATA"
    iso = pycdlib.PyCdlib()
    iso.open(str(path))
    content = io.BytesIO()
    iso.get_file_from_iso_fp(content, rr_path="/user-data")
    iso.close()
    assert content.getvalue() == seed.user_data
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [left.name for left in tmp_path.iterdir()] == ["seed.iso"]


def test_every_document_can_be_read_back_by_its_long_name(tmp_path: Path) -> None:
    """Windows-style names (Joliet) carry the documents too; an absent network-config stays absent."""
    path = tmp_path / "seed.iso"
    write_seed(path, Seed(b"u", b"m"))
    assert {name: data for name, data in _read(path).items() if "-" in name} == {"user-data": b"u", "meta-data": b"m"}


def test_seed_injects_keys_and_nothing_else() -> None:
    """The document names the machine and its keys; it sets no password and overrides no policy of the image."""
    seed = make_seed(instance_id="i-1", hostname="web", ssh_keys=[KEY])
    assert json.loads(seed.meta_data) == {"instance-id": "i-1", "local-hostname": "web"}
    assert seed.user_data.startswith(b"#cloud-config\n")
    assert yaml.safe_load(seed.user_data) == {"ssh_authorized_keys": [KEY]}


def test_value_cannot_break_out_of_its_place() -> None:
    """A key line with newlines and YAML in it stays one string."""
    evil = "ssh-ed25519 AAAA x\nusers: [{name: root, lock_passwd: false}]\n"
    seed = make_seed(instance_id="i", hostname="h", ssh_keys=[evil])
    assert yaml.safe_load(seed.user_data) == {"ssh_authorized_keys": [evil]}


def test_operators_document_comes_first_and_ours_is_appended() -> None:
    """The operator's cloud-config keeps its values; our part asks to append lists and to replace nothing."""
    seed = make_seed(instance_id="i", hostname="h", ssh_keys=[KEY], user_data=b"#cloud-config\npackages: [htop]\n")
    parts = list(email.message_from_bytes(seed.user_data).walk())[1:]
    assert [part.get_content_type() for part in parts] == ["text/cloud-config", "text/cloud-config"]
    theirs, ours = (yaml.safe_load(io.BytesIO(bytes(part.get_payload(decode=True)))) for part in parts)
    assert theirs == {"packages": ["htop"]}
    assert ours["ssh_authorized_keys"] == [KEY]
    assert {"name": "dict", "settings": ["no_replace", "recurse_list"]} in ours["merge_how"]


def test_script_is_passed_as_a_script() -> None:
    """User-data that begins with #! is run, not parsed."""
    seed = make_seed(instance_id="i", hostname="h", ssh_keys=[KEY], user_data=b"#!/bin/sh\ntouch /ran\n")
    assert b"text/x-shellscript" in seed.user_data


@pytest.mark.parametrize("user_data", [b"packages: [htop]\n", b"\xff\xfe", b""])
def test_unknown_user_data_is_refused(user_data: bytes) -> None:
    """cloud-init would ignore it with a warning in a log that nobody reads."""
    with pytest.raises(DefinitionInvalid):
        make_seed(instance_id="i", hostname="h", ssh_keys=[KEY], user_data=user_data)


def test_seed_of_any_files_is_read_by_every_reader(tmp_path: Path) -> None:
    """Names with several dots and bytes of any kind come back exact, by Rock Ridge and by Joliet."""
    files = {"grub.cfg": b"boot\n", "preseed.cpio.gz": bytes(range(256)) * 20, "imagekit.apkovl.tar.gz": b"", "a": b"1"}
    path = tmp_path / "seed.iso"
    write_seed_iso(path, files)
    # The supplementary descriptor's volume id, too: a reader that prefers Joliet looks for the label there.
    assert path.read_bytes()[17 * 2048 + 40 : 17 * 2048 + 72].decode("utf-16-be").strip() == "CIDATA"
    iso = pycdlib.PyCdlib()
    iso.open(str(path))
    for name, data in files.items():
        for place in ({"rr_path": f"/{name}"}, {"joliet_path": f"/{name}"}):
            content = io.BytesIO()
            iso.get_file_from_iso_fp(content, **place)
            assert content.getvalue() == data
    iso.close()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "/etc/passwd", "a b", "x\n", "-", "ü", "n" * 65])
def test_name_that_a_seed_cannot_hold_is_refused(tmp_path: Path, name: str) -> None:
    """Such a name is this program's own mistake, and nothing is written."""
    with pytest.raises(ValueError, match="not a file name"):
        write_seed_iso(tmp_path / "seed.iso", {name: b""})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("label", ["", "cidata", "CI DATA", "SEVENTEEN_LETTERS"])
def test_label_that_an_iso_cannot_hold_is_refused(tmp_path: Path, label: str) -> None:
    """ISO 9660 has upper case only, and Joliet 16 characters of it."""
    with pytest.raises(ValueError, match="not a label"):
        write_seed_iso(tmp_path / "seed.iso", {"a": b""}, label=label)
