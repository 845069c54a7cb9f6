"""Versions whose bytes are a template on a cluster: recorded whole, found, moved, and never handed out as a disk."""

import dataclasses
import json
import sys
from collections.abc import Callable
from pathlib import Path, PurePosixPath

import pytest

from imagekit.errors import StoreError, VerificationFailed
from imagekit.host import run
from imagekit.host.local import start
from imagekit.image import ClusterPlace, Reference
from imagekit.report import Severity
from imagekit.store import Action, Store, describe_version, open_store
from tests.store.samples import (
    PROJECT,
    at,
    list_tree,
    make_disk,
    make_place,
    make_report,
    make_template,
    make_verified,
)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store(tmp_path / "store")


def _manifest(store: Store, version: str = "20260701-1") -> Path:
    path = store.root / "images/template" / version / "manifest.json"
    path.chmod(0o644)
    return path


def _replacements(store: Store, name: str = "template") -> dict[str, str]:
    return {str(one.id): str(one.replaced_by) for one in store.list_versions(name) if one.replaced_by}


def test_record_keeps_everything_that_is_known(store: Store) -> None:
    """What was recorded is found again, equal in every value, by another Store object; nothing lies beside it."""
    verified = make_template(make_place())
    stored = store.record(verified, clock=at(5))
    found = open_store(store.root).find(Reference("template"), default_channel=None)
    assert stored.added
    assert stored.version == found
    assert str(found.reference) == "template@20260705-1"
    assert (found.digest, found.place) == (None, verified.built.place)
    assert (found.size_bytes, found.stored_bytes) == (8 << 30, 0)
    assert (found.provenance, found.report) == (verified.built.provenance, verified.report)
    assert (found.architecture, found.firmware) == (verified.built.architecture, verified.built.firmware)
    assert found.replaced_by is None
    assert [path.name for path in store.root.glob("images/template/20260705-1/*")] == ["manifest.json"]
    assert store.channels("template") == {"candidate": found.id}


def test_record_enters_the_same_history(store: Store, tmp_path: Path) -> None:
    """Templates and disks are versions of one image: one numbering, one history, one set of channels."""
    store.add(make_verified(tmp_path / "disk.raw", 1), promote_to="stable", clock=at(1))
    recorded = store.record(make_template(make_place()), promote_to="stable", clock=at(1)).version
    assert str(recorded.id) == "20260701-2"
    assert [(entry.action, entry.channel, str(entry.version)) for entry in store.history("template")] == [
        (Action.ADD, "candidate", "20260701-1"),
        (Action.PROMOTE, "stable", "20260701-1"),
        (Action.ADD, "candidate", "20260701-2"),
        (Action.PROMOTE, "stable", "20260701-2"),
    ]
    assert str(store.rollback("template").id) == "20260701-1"
    assert store.promote(recorded.reference, "stable") == recorded


def test_failed_report_is_refused(store: Store) -> None:
    """A template with a failure never becomes a version."""
    verified = dataclasses.replace(make_template(make_place()), report=make_report(Severity.FAIL))
    with pytest.raises(VerificationFailed, match="machine-id"):
        store.record(verified)
    assert not store.root.exists()


def test_mistyped_channel_is_refused(store: Store) -> None:
    """A channel that the image does not have is told before anything is written."""
    with pytest.raises(StoreError, match="no channel 'stabel'"):
        store.record(make_template(make_place()), promote_to="stabel")
    assert not store.root.exists()


def test_same_template_adds_nothing(store: Store) -> None:
    """A template that is recorded already gives the version there is, wherever it was migrated to; it is promoted."""
    first = store.record(make_template(make_place()), clock=at(1)).version
    before = list_tree(store.root)
    moved = dataclasses.replace(make_place(), node="node2")
    again = store.record(make_template(moved, release="13"), promote_to="stable", clock=at(2))
    assert (again.version, again.added) == (first, False)
    assert list_tree(store.root) == before
    assert store.channels("template") == {"candidate": first.id, "stable": first.id}


def test_same_template_is_a_version_of_two_images(store: Store) -> None:
    """Images are separate, and neither replaces the other while it is one template."""
    store.record(make_template(make_place()))
    assert store.record(make_template(make_place(), "web")).added
    assert (_replacements(store), _replacements(store, "web")) == ({}, {})


def test_template_without_a_mark_is_known_by_its_provenance(store: Store) -> None:
    """Without a mark the same provenance at the same VM id is the same template, and another one is not."""
    place = dataclasses.replace(make_place(), mark="")
    template = make_template(place, files=[PurePosixPath("/etc/motd")], sizes=(1, 2))
    assert store.record(template, clock=at(1)).added
    assert not store.record(template, clock=at(2)).added
    assert store.record(make_template(place, files=[]), clock=at(3)).added
    assert _replacements(store) == {"20260701-1": "template@20260703-1"}


def test_vm_id_used_again_replaces_the_older_version(store: Store) -> None:
    """Another template at the same VM id is a new version, and all that were there before read as replaced by it."""
    for day in (1, 2, 3):
        assert store.record(make_template(make_place(day)), clock=at(day)).added
    store.record(make_template(make_place(9, vm_id=9101)), clock=at(4))
    expected = {"20260701-1": "template@20260703-1", "20260702-1": "template@20260703-1"}
    assert _replacements(store) == expected
    (image,) = store.list_images()
    assert {str(one.id): str(one.replaced_by) for one in image.versions if one.replaced_by} == expected
    gone = store.find(Reference.parse("template@20260701-1"), default_channel=None)
    assert str(gone.replaced_by) == "template@20260703-1"


def test_another_cluster_or_image_at_the_same_vm_id(store: Store) -> None:
    """A VM id means a template within one cluster, whichever image it belongs to."""
    store.record(make_template(make_place(1)), clock=at(1))
    elsewhere = dataclasses.replace(make_place(2), cluster="other.example:8006")
    store.record(make_template(elsewhere), clock=at(2))
    assert _replacements(store) == {}
    store.record(make_template(make_place(3), "web"), clock=at(3))
    assert _replacements(store) == {"20260701-1": "web@20260703-1"}


def test_wrong_clock_replaces_nothing_newer(store: Store) -> None:
    """What was recorded last has the VM id, whatever the clock said."""
    store.record(make_template(make_place(1)), clock=at(9))
    store.record(make_template(make_place(2)), clock=at(1))
    assert _replacements(store) == {"20260709-1": "template@20260701-1"}


def test_template_that_came_back_is_recorded_again(store: Store) -> None:
    """A template restored from a backup to its old VM id is a new version; the one in between is gone then."""
    for seed, day in ((1, 1), (2, 2), (1, 3)):
        assert store.record(make_template(make_place(seed)), clock=at(day)).added
    assert _replacements(store) == {"20260702-1": "template@20260703-1"}
    assert not store.record(make_template(make_place(1)), clock=at(4)).added


def test_disk_of_a_template_is_refused_with_its_place(store: Store) -> None:
    """Whoever wants the disk learns on which node and in which VM the bytes are."""
    version = store.record(make_template(make_place())).version
    with pytest.raises(StoreError) as caught:
        store.disk_path(version)
    assert "its bytes are on the cluster, as VM 9100 on node1 of pve.example:8006" in caught.value.message
    assert "qm clone 9100" in (caught.value.hint or "")


def test_replaced_template_is_not_delivered(store: Store) -> None:
    """A version whose template is gone has no disk, takes no channel, and is passed over when a channel goes back."""
    for day in (1, 2, 3):
        place = make_place(day, vm_id=9101 if day == 1 else 9100)
        store.record(make_template(place), promote_to="stable", clock=at(day))
    gone = store.find(Reference.parse("template@20260702-1"), default_channel=None)
    for refused in (lambda: store.disk_path(gone), lambda: store.promote(gone.reference, "candidate")):
        with pytest.raises(StoreError, match="VM 9100 on node1 is template@20260703-1 now") as caught:
            refused()
        assert caught.value.hint == "use template@20260703-1, or build template again"
    assert str(store.rollback("template").id) == "20260701-1"


def test_digest_never_means_a_template(store: Store, tmp_path: Path) -> None:
    """A version on a cluster has no digest; a prefix finds the disks beside it, and equal disks are still noticed."""
    disk = make_disk(tmp_path / "disk.raw", 1)
    store.record(make_template(make_place()), clock=at(1))
    with pytest.raises(StoreError, match="no version with digest"):
        store.find(Reference("template", disk.digest), default_channel=None)
    added = store.add(make_verified(tmp_path / "disk.raw", 1), clock=at(2))
    assert store.find(Reference("template", disk.digest), default_channel=None) == added.version
    assert not store.add(make_verified(tmp_path / "disk.raw", 1), clock=at(3)).added


def test_proof_is_added_to_the_template_that_lacks_it(store: Store) -> None:
    """A boot proof of the same template is kept with its version, which stays where and what it is."""
    proven = make_template(make_place(2))
    plain = dataclasses.replace(proven, report=dataclasses.replace(proven.report, boot=None))
    store.record(make_template(make_place(1)), clock=at(1))
    first = store.record(plain, clock=at(2)).version
    added = store.record(proven, clock=at(3))
    assert (added.added, added.proof_attached) == (False, True)
    assert added.version == dataclasses.replace(first, report=proven.report)
    assert _replacements(store) == {"20260701-1": "template@20260702-1"}


def test_description_is_json(store: Store, tmp_path: Path) -> None:
    """A described version says where it is in one of two keys."""
    version = store.record(make_template(make_place())).version
    described = json.loads(json.dumps(describe_version(version)))
    assert described["digest"] is None
    assert described["replaced_by"] is None
    assert described["place"] == {
        "cluster": "pve.example:8006",
        "node": "node1",
        "vm_id": 9100,
        "mark": "5b1e3f7a-0000-4000-8000-000000000000",
    }
    assert describe_version(store.add(make_verified(tmp_path / "disk.raw")).version)["place"] is None


def test_manifest_of_a_disk_is_as_it_always_was(store: Store, tmp_path: Path) -> None:
    """An imagekit that knows no clusters reads the versions with disks: they have no key that it does not know."""
    store.add(make_verified(tmp_path / "disk.raw"), clock=at(1))
    assert list(json.loads(_manifest(store).read_text())) == [
        "format", "name", "version", "digest", "size_bytes", "created", "created_by", "architecture", "firmware",
        "channels", "provenance", "report",
    ]  # fmt: skip


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: data | {"digest": "sha256:" + "0" * 64},
        lambda data: {key: value for key, value in data.items() if key != "place"},
        lambda data: data | {"place": None},
        lambda data: data | {"place": data["place"] | {"token": "x"}},
        lambda data: data | {"place": {key: data["place"][key] for key in ("cluster", "node", "vm_id")}},
        lambda data: data | {"place": data["place"] | {"vm_id": 99}},
        lambda data: data | {"place": data["place"] | {"vm_id": "9100"}},
        lambda data: data | {"place": data["place"] | {"node": "../x"}},
        lambda data: data | {"place": data["place"] | {"cluster": "https://pve.example:8006"}},
        lambda data: data | {"place": data["place"] | {"mark": "\x1b[31m"}},
        lambda data: data | {"replaces": ["../x"]},
        lambda data: data | {"replaces": "x"},
    ],
)
def test_damaged_place_is_named(store: Store, damage: Callable[[dict[str, object]], object]) -> None:
    """A place is read as strictly as the rest: what is missing, unknown or impossible is damage, and is named."""
    store.record(make_template(make_place()), clock=at(1))
    path = _manifest(store)
    path.write_text(json.dumps(damage(json.loads(path.read_text()))))
    with pytest.raises(StoreError, match=r"template/20260701-1/manifest\.json is damaged"):
        store.list_versions("template")


def test_damage_elsewhere_does_not_hide_a_template(store: Store) -> None:
    """Looking for what has a VM id now passes over versions that cannot be read."""
    store.record(make_template(make_place(1)), clock=at(1))
    store.record(make_template(make_place(2, vm_id=9101)), clock=at(2))
    _manifest(store, "20260702-1").write_bytes(b"[" * 100_000)
    found = store.find(Reference.parse("template@20260701-1"), default_channel=None)
    assert found.replaced_by is None
    assert store.record(make_template(make_place(3, vm_id=9101), "web"), clock=at(3)).added


def test_failing_flush_records_nothing(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A drive that cannot flush has not recorded the template: an error, and the store is as before."""
    store.record(make_template(make_place(1)), clock=at(1))
    before = list_tree(store.root), store.history("template")
    calls = 0

    def fail(descriptor: int) -> None:
        nonlocal calls
        calls += 1
        if calls == failing:
            raise OSError(5, "Input/output error")

    monkeypatch.setattr("os.fsync", fail)
    for failing in range(1, 5):  # noqa: B007 - read by the stand-in
        calls = 0
        with pytest.raises(StoreError, match="Input/output error"):
            store.record(make_template(make_place(2)), clock=at(2))
        assert (list_tree(store.root), store.history("template")) == before
        assert _replacements(store) == {}
    calls, failing = 0, 99
    assert store.record(make_template(make_place(2)), clock=at(2)).added


_RECORD_SOME = """
import sys
from pathlib import Path
from imagekit.store import open_store
from tests.store.samples import at, make_place, make_template
for seed in map(int, sys.argv[2:]):
    open_store(Path(sys.argv[1])).record(make_template(make_place(seed, vm_id=9100 + seed)), clock=at(1))
"""


def test_processes_that_record_at_once_do_not_disturb_one_another(store: Store) -> None:
    """Two processes that record six templates each, some of them the same, leave one version of each."""
    argv = [sys.executable, "-c", _RECORD_SOME, str(store.root)]
    other = start([*argv, *map(str, range(1, 7))], directory=PROJECT)
    run([*argv, *map(str, range(3, 9))], directory=PROJECT)
    other.wait(timeout=60)
    assert other.exit_code == 0
    versions = store.list_versions("template")
    assert sorted(version.id.serial for version in versions) == list(range(1, 9))
    assert len({version.place for version in versions}) == 8
    assert _replacements(store) == {}


def test_place_without_login_reaches_the_manifest(store: Store) -> None:
    """A login in the cluster's address is dropped: the canary is in no file of the store."""
    place = ClusterPlace.parse("https://root:canary-5e1f@PVE.example/api2/json?x=canary-5e1f", "node1", 9100)
    store.record(make_template(place))
    assert place.cluster == "pve.example:8006"
    written = b"".join(path.read_bytes() for path in store.root.rglob("*") if path.is_file())
    assert b"pve.example:8006" in written
    assert b"canary" not in written
