"""images, show, log, promote, rollback: results on standard output, one JSON document, references that come back."""

import json
from pathlib import Path

import pytest

from imagekit.store import Store
from tests.cli.conftest import Program
from tests.store.samples import at, make_place, make_template


def test_empty_store_is_no_error(program: Program) -> None:
    """Where nothing is stored the list is empty, a message says how to begin, and nothing is made."""
    said = program("images")
    assert said.output == ""
    assert said.errors == "no image is stored yet; imagekit build template makes one\n"
    assert program("images", "--json").json() == {"schema_version": 1, "images": []}


def test_images_lists_the_newest_of_each(program: Program, store: Store) -> None:
    """Without a name there is one line for each image; with one, a line for each of its versions, newest first."""
    said = program("images")
    assert said.errors == ""
    header, pihole, template = said.output.splitlines()
    assert header.split() == ["VERSION", "CHANNELS", "DIGEST", "SIZE", "STORED", "PACKAGES", "CREATED", "(UTC)"]
    assert pihole.split()[:2] == ["pihole@20260708-1", "candidate"]
    assert template.split()[:2] == ["template@20260707-1", "candidate"]
    _, *versions = program("images", "template").output.splitlines()
    assert [line.split()[0] for line in versions] == [f"template@2026070{day}-1" for day in (7, 6, 5)]
    assert versions[1].split()[1] == "stable"
    assert versions[2].split()[1] == "-"


def test_images_as_a_document(program: Program, store: Store) -> None:
    """``--json`` tells every version of every image, and where the channels point."""
    images = program("images", "--json").json()["images"]
    assert [image["name"] for image in images] == ["pihole", "template"]
    assert images[1]["channels"] == {"candidate": "20260707-1", "stable": "20260706-1"}
    newest = images[1]["versions"][0]
    assert newest["reference"] == "template@20260707-1"
    assert newest["size_bytes"] == 2 << 20
    assert newest["digest"].startswith("sha256:")
    (only,) = program("images", "pihole", "--json").json()["images"]
    assert only["name"] == "pihole"


def test_store_flag_chooses_another_place(program: Program, store: Store, tmp_path: Path) -> None:
    """``--store`` and its variable decide where versions are looked for."""
    assert program("images", "--store", str(tmp_path / "other")).output == ""
    assert program("images", "--store", str(store.root)).output != ""


def test_show_one_version(program: Program, store: Store) -> None:
    """A version is shown with its evidence: packages, report, boot proof, whether it can be made again, its disk."""
    said = program("show", "template@stable")
    assert said.errors == ""
    lines = dict(line.split(maxsplit=1) for line in said.output.splitlines() if not line.startswith(("disk", "boot")))
    assert lines["reference"] == "template@20260706-1"
    assert lines["channels"] == "stable"
    assert lines["packages"] == "2"
    assert lines["verification"] == "0 fail, 1 warn, 0 info, 2 pass, 1 not_observed, 0 suppressed"
    assert lines["reproducible"] == "no: mke2fs 1.47.0 writes the time"
    assert "boot proof    two clones booted" in said.output
    path = said.output.splitlines()[-1].split(maxsplit=1)[1]
    assert Path(path).stat().st_size == 2 << 20


def test_show_as_a_document(program: Program, store: Store) -> None:
    """``show --json`` has packages, report, boot facts and the path of the disk; every form of reference finds it."""
    document = program("show", "template@20260706-1", "--json").json()
    assert document["provenance"]["packages"][0]["name"] == "bash"
    assert document["report"]["boot"]["clone-a"]["machine_id"] == "1"
    assert Path(document["path"]).is_file()
    for reference in ("template@stable", f"template@{document['digest']}", f"template@{document['digest'][:19]}"):
        assert program("show", reference, "--json").json() == document
    assert program("show", "template", "--json").json()["reference"] == "template@20260707-1"


def test_promote_and_rollback_print_the_reference(program: Program, store: Store) -> None:
    """Moving a channel prints the one version that it means now, which other commands take."""
    said = program("promote", "template@candidate", "stable", "--reason", "it is good")
    assert (said.output, said.errors) == ("template@20260707-1\n", "")
    assert program("rollback", "template").output == "template@20260706-1\n"
    assert program("rollback", "template", "stable").output == "template@20260705-1\n"
    moved = program("promote", "template", "stable", "--json").json()
    assert (moved["reference"], moved["channel"]) == ("template@20260707-1", "stable")
    back = program("rollback", "template", "--json").json()
    assert (back["reference"], back["channel"]) == ("template@20260705-1", "stable")
    assert program("show", back["reference"], "--json").json()["digest"] == back["digest"]


def test_log_tells_who_moved_what(program: Program, store: Store) -> None:
    """The history is shown the newest first, as a document in the order in which it happened."""
    program("promote", "template", "stable", "--reason", "tested on node 2")
    said = program("log", "template")
    assert said.errors == ""
    header, newest, *_, oldest = said.output.splitlines()
    assert header.split()[:4] == ["WHEN", "(UTC)", "ACTION", "CHANNEL"]
    assert "promote" in newest
    assert newest.endswith("tested on node 2")
    assert "20260706-1  20260707-1" in newest
    assert "add" in oldest
    document = program("log", "template", "--json").json()
    assert document["history"][0]["action"] == "add"
    assert document["history"][-1]["reason"] == "tested on node 2"
    assert document["history"][-1]["from"] == "20260706-1"


def test_documents_are_ascii(program: Program, store: Store) -> None:
    """A JSON document can be written in every locale: what is beyond ASCII is escaped."""
    program("promote", "template", "stable", "--reason", "für später ✓")
    said = program("log", "template", "--json")
    assert said.output.isascii()
    assert json.loads(said.output)["history"][-1]["reason"] == "für später ✓"


@pytest.fixture
def cluster_store(store: Store) -> Store:
    """Return the store with two templates on a cluster besides: the second has taken the VM id of the first."""
    store.record(make_template(make_place(1)), clock=at(9))
    store.record(make_template(make_place(2)), promote_to="stable", clock=at(10))
    return store


def test_images_says_what_is_on_a_cluster(program: Program, cluster_store: Store) -> None:
    """A version whose bytes are on a cluster shows its VM instead of the space it takes; a gone one says so."""
    _, newest, gone, disk, *_ = program("images", "template").output.splitlines()
    assert "  -  " in newest
    assert "VM 9100 on node1" in newest
    assert "gone (was VM 9100 on node1)" in gone
    assert "KiB" in disk
    versions = program("images", "template", "--json").json()["images"][0]["versions"]
    assert [version["digest"] is None for version in versions] == [True, True, False, False, False]
    assert versions[0]["place"]["vm_id"] == 9100
    assert [version["replaced_by"] for version in versions[:2]] == [None, "template@20260710-1"]
    assert (versions[2]["place"], versions[2]["replaced_by"]) == (None, None)


def test_show_a_version_on_a_cluster(program: Program, cluster_store: Store) -> None:
    """It is shown with cluster, node, VM id and mark, and without the path of a disk that is not here."""
    said = program("show", "template@stable").output
    assert "on cluster    VM 9100 on node1 of pve.example:8006, marked 5b1e3f7a-0000-4000-8000-000000000002" in said
    assert "disk size     8.0 GiB, nothing stored here" in said
    assert not [line for line in said.splitlines() if line.startswith("disk  ")]
    document = program("show", "template@stable", "--json").json()
    assert (document["path"], document["digest"]) == (None, None)
    assert document["place"]["node"] == "node1"
    said = program("show", "template@20260709-1").output
    assert "replaced by   template@20260710-1, which has that VM id now" in said


def test_channels_move_to_and_from_a_cluster(program: Program, cluster_store: Store) -> None:
    """Versions on a cluster are promoted and rolled back like others, until their template is gone."""
    back = program("rollback", "template", "--json").json()
    assert (back["reference"], back["place"]) == ("template@20260706-1", None)
    moved = program("promote", "template", "stable", "--json").json()
    assert (moved["reference"], moved["digest"]) == ("template@20260710-1", None)
    assert moved["place"]["cluster"] == "pve.example:8006"
    refused = program("promote", "template@20260709-1", "stable", status=6).errors
    assert "the template of template@20260709-1 is gone: VM 9100 on node1 is template@20260710-1 now" in refused
    assert program("log", "template").output.splitlines()[1].split()[3] == "stable"


@pytest.mark.parametrize("command", [("clone", "template", "web", "--local"), ("verify", "template@stable")])
def test_what_needs_the_disk_says_where_it_is(program: Program, cluster_store: Store, command: tuple[str, ...]) -> None:
    """A local clone and a verification need bytes that are not here: a sentence says where they are, exit code 6."""
    said = program(*command, status=6)
    assert said.output == ""
    assert "template@20260710-1 has no disk in this store" in said.errors
    assert "VM 9100 on node1 of pve.example:8006" in said.errors
    assert "qm clone 9100 NEWID" in said.errors
    assert program("clone", "--list", "--local", "--json").json()["clones"] == []
