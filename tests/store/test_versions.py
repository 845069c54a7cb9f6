"""Adding versions and finding them again."""

import dataclasses
import json
import os
import stat
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path, PurePosixPath

import pytest

from imagekit.errors import DefinitionInvalid, StoreError, VerificationFailed
from imagekit.image import BuiltImage, Digest, Package, Reference, VersionId
from imagekit.progress import Event
from imagekit.report import Severity, VerifiedImage
from imagekit.store import Action, Store, describe_version, open_store
from tests.store.samples import DISK_BYTES, MIB, at, list_tree, make_disk, make_provenance, make_report, make_verified


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store(tmp_path / "store")


def _with_provenance(verified: VerifiedImage, **changes: object) -> VerifiedImage:
    provenance = dataclasses.replace(verified.built.provenance, **changes)  # type: ignore[arg-type]
    return dataclasses.replace(verified, built=BuiltImage(verified.built.disk, provenance))


def test_reading_a_missing_store_finds_nothing_and_creates_nothing(store: Store) -> None:
    """Every listing of a store that is not there is empty, and afterwards it is still not there."""
    assert store.list_images() == ()
    assert store.list_versions("template") == ()
    assert store.channels("template") == {}
    assert store.history("template") == ()
    with pytest.raises(StoreError, match="no image 'template' is stored") as caught:
        store.find(Reference("template"), default_channel=None)
    assert "imagekit build template" in (caught.value.hint or "")
    assert not store.root.exists()


def test_add_keeps_everything_that_is_known(store: Store, tmp_path: Path) -> None:
    """What was added is found again, equal in every value, by another Store object."""
    verified = make_verified(tmp_path / "disk.raw")
    stored = store.add(verified, clock=at(5))
    found = open_store(store.root).find(Reference("template"), default_channel=None)
    assert stored.added
    assert stored.version == found
    assert found.id == VersionId.parse("20260705-1")
    assert found.reference == Reference.parse("template@20260705-1")
    assert found.digest == verified.built.disk.digest
    assert found.created == at(5)()
    assert found.provenance == verified.built.provenance
    assert found.report == verified.report
    assert found.packages == verified.built.provenance.packages
    assert found.size_bytes == DISK_BYTES


def test_copy_is_whole_sparse_and_read_only(store: Store, tmp_path: Path) -> None:
    """A copied disk has the same bytes, keeps the holes, cannot be written to, and leaves the original alone."""
    verified = make_verified(tmp_path / "disk.raw")
    version = store.add(verified).version
    path = store.disk_path(version)
    assert path.read_bytes() == verified.built.disk.path.read_bytes()
    assert stat.S_IMODE(path.stat().st_mode) == 0o444
    assert version.stored_bytes == path.stat().st_blocks * 512 < MIB


def test_move_renames_the_disk(store: Store, tmp_path: Path) -> None:
    """With move, the very file becomes the version's disk, read-only."""
    verified = make_verified(tmp_path / "disk.raw")
    inode = verified.built.disk.path.stat().st_ino
    path = store.disk_path(store.add(verified, move=True).version)
    assert path.stat().st_ino == inode
    assert stat.S_IMODE(path.stat().st_mode) == 0o444
    assert not verified.built.disk.path.exists()


@pytest.mark.parametrize("how", ["hard link", "symbolic link"])
def test_move_copies_a_file_with_two_names(store: Store, tmp_path: Path, how: str) -> None:
    """A disk that could still be changed through another name is copied, whatever move says."""
    verified = make_verified(tmp_path / "disk.raw")
    other = tmp_path / "other.raw"
    if how == "hard link":
        other.hardlink_to(verified.built.disk.path)
    else:
        other.symlink_to(verified.built.disk.path)
    disk = dataclasses.replace(verified.built.disk, path=other)
    verified = dataclasses.replace(verified, built=BuiltImage(disk, verified.built.provenance))
    path = store.disk_path(store.add(verified, move=True).version)
    assert path.stat().st_ino != other.stat().st_ino
    assert path.stat().st_nlink == 1
    assert other.exists()


def test_failed_report_is_refused(store: Store, tmp_path: Path) -> None:
    """A disk with a failure never becomes a version; the error names the check and has exit code 5."""
    verified = dataclasses.replace(make_verified(tmp_path / "disk.raw"), report=make_report(Severity.FAIL))
    with pytest.raises(VerificationFailed, match="machine-id") as caught:
        store.add(verified)
    assert caught.value.exit_code == 5
    assert not store.root.exists()


def test_same_digest_adds_nothing(store: Store, tmp_path: Path) -> None:
    """A disk that is stored under the name already gives the version there is; the given file stays where it is."""
    first = store.add(make_verified(tmp_path / "a.raw"), clock=at(1)).version
    before = list_tree(store.root), store.history("template")
    again = store.add(make_verified(tmp_path / "b.raw"), move=True, clock=at(2))
    assert (again.version, again.added) == (first, False)
    assert (list_tree(store.root), store.history("template")) == before
    assert (tmp_path / "b.raw").exists()


def test_same_digest_is_still_promoted(store: Store, tmp_path: Path) -> None:
    """promote_to is done for a version that was there already, once."""
    version = store.add(make_verified(tmp_path / "a.raw"), clock=at(1)).version
    for _time in range(2):
        assert not store.add(make_verified(tmp_path / "a.raw"), promote_to="stable", clock=at(2)).added
    assert store.channels("template") == {"candidate": version.id, "stable": version.id}
    assert [entry.action for entry in store.history("template")] == [Action.ADD, Action.PROMOTE]


def test_same_digest_under_another_name_is_a_version_of_its_own(store: Store, tmp_path: Path) -> None:
    """Images are separate: one disk may be a version of two of them."""
    store.add(make_verified(tmp_path / "a.raw", name="template"))
    assert store.add(make_verified(tmp_path / "a.raw", name="pihole")).added
    assert [image.name for image in store.list_images()] == ["pihole", "template"]


def test_serials_count_within_a_utc_day(store: Store, tmp_path: Path) -> None:
    """Versions are numbered by day in UTC, whatever the clock's zone."""

    def evening() -> datetime:
        return datetime(2026, 7, 1, 23, 30, tzinfo=timezone(timedelta(hours=-3)))

    ids = [
        str(store.add(make_verified(tmp_path / "disk.raw", seed), clock=clock).version.id)
        for seed, clock in enumerate([at(1), at(1, 23), evening, at(2)])
    ]
    assert ids == ["20260701-1", "20260701-2", "20260702-1", "20260702-2"]


def test_serial_is_not_used_again(store: Store, tmp_path: Path) -> None:
    """After the newest version was removed, its number stays taken."""
    first = store.add(make_verified(tmp_path / "disk.raw", 1), clock=at(1)).version
    directory = store.disk_path(first).parent
    for path in directory.iterdir():
        path.unlink()
    directory.rmdir()
    assert str(store.add(make_verified(tmp_path / "disk.raw", 2), clock=at(1)).version.id) == "20260701-2"


def test_newest_is_the_last_added_even_with_a_wrong_clock(store: Store, tmp_path: Path) -> None:
    """A machine that lost its time does not hide newer versions behind older ones."""
    store.add(make_verified(tmp_path / "disk.raw", 1), clock=at(9))
    late = store.add(make_verified(tmp_path / "disk.raw", 2), clock=at(1)).version
    assert store.find(Reference("template"), default_channel=None) == late
    assert [str(version.id) for version in store.list_versions("template")] == ["20260701-1", "20260709-1"]


def test_first_channel_follows_and_promote_to_moves_another(store: Store, tmp_path: Path) -> None:
    """The newest version enters the first declared channel; promote_to adds a move of its own to the history."""
    first = store.add(make_verified(tmp_path / "disk.raw", 1, channels=["edge", "stable"]), clock=at(1)).version
    second = store.add(
        make_verified(tmp_path / "disk.raw", 2, channels=["edge", "stable"]), promote_to="stable", clock=at(2)
    ).version
    assert store.channels("template") == {"edge": second.id, "stable": second.id}
    assert [(entry.action, entry.channel, entry.previous, entry.version) for entry in store.history("template")] == [
        (Action.ADD, "edge", None, first.id),
        (Action.ADD, "edge", first.id, second.id),
        (Action.PROMOTE, "stable", None, second.id),
    ]


def test_promote_to_an_undeclared_channel_is_refused_before_copying(store: Store, tmp_path: Path) -> None:
    """A mistyped channel is an error with the one that was meant, and nothing is stored."""
    with pytest.raises(StoreError, match="no channel 'stabel'") as caught:
        store.add(make_verified(tmp_path / "disk.raw"), promote_to="stabel")
    assert "did you mean 'stable'" in (caught.value.hint or "")
    assert not store.root.exists()


def test_wrong_digest_is_noticed_while_copying(store: Store, tmp_path: Path) -> None:
    """A disk whose bytes are not those of its digest is refused and nothing of it stays."""
    verified = make_verified(tmp_path / "disk.raw")
    with verified.built.disk.path.open("r+b") as file:
        file.write(b"changed")
    with pytest.raises(StoreError, match="does not have the digest"):
        store.add(verified)
    assert store.list_images() == ()
    assert list_tree(store.root) == ["format.json", "incoming", "lock"]


@pytest.mark.parametrize(("change", "said"), [("gone", "is gone"), ("short", "bytes, but"), ("directory", "not a reg")])
def test_unusable_disk_is_refused(store: Store, tmp_path: Path, change: str, said: str) -> None:
    """A disk that is missing, of another length, or no file is refused in a sentence."""
    verified = make_verified(tmp_path / "disk.raw")
    path = verified.built.disk.path
    if change == "short":
        os.truncate(path, MIB)
    else:
        path.unlink()
    if change == "directory":
        path.mkdir()
    with pytest.raises(StoreError, match=said):
        store.add(verified)
    assert not store.root.exists()


def test_error_after_moving_puts_the_disk_back(store: Store, tmp_path: Path) -> None:
    """A build of half an hour is not lost when its version cannot be written: the disk returns, with its mode."""
    verified = _with_provenance(make_verified(tmp_path / "disk.raw"), inputs={"odd": 1 + 2j})
    verified.built.disk.path.chmod(0o640)
    with pytest.raises(NotImplementedError):
        store.add(verified, move=True)
    assert stat.S_IMODE(verified.built.disk.path.stat().st_mode) == 0o640
    assert make_disk(tmp_path / "same.raw").path.read_bytes() == verified.built.disk.path.read_bytes()
    assert list_tree(store.root) == ["format.json", "incoming", "lock"]


def test_definition_may_hold_what_json_cannot(store: Store, tmp_path: Path) -> None:
    """Paths become text, and names that were no text in the image are kept escaped instead of failing the build."""
    verified = _with_provenance(
        make_verified(tmp_path / "disk.raw", files=[PurePosixPath("/etc/motd")]),
        packages=(Package("b\udcffd", "1", "amd64"),),
    )
    version = store.add(verified).version
    assert version.provenance.definition["files"] == ["/etc/motd"]
    assert version.packages == (Package("b\\udcffd", "1", "amd64"),)


@pytest.mark.parametrize("definition", [{}, {"name": 3}])
def test_image_without_a_name_is_refused(store: Store, tmp_path: Path, definition: dict[str, object]) -> None:
    """The store does not invent a name."""
    with pytest.raises(StoreError, match="does not say its name"):
        store.add(_with_provenance(make_verified(tmp_path / "disk.raw"), definition=definition))


@pytest.mark.parametrize("definition", [{"name": "../x"}, {"name": "a", "channels": ["../x"]}])
def test_names_cannot_leave_the_store(store: Store, tmp_path: Path, definition: dict[str, object]) -> None:
    """A name or channel with a path in it is refused before anything is written."""
    with pytest.raises(DefinitionInvalid, match=r"'\.\./x'"):
        store.add(_with_provenance(make_verified(tmp_path / "disk.raw"), definition=definition))
    assert not store.root.exists()


def test_default_channels_when_the_definition_is_silent(store: Store, tmp_path: Path) -> None:
    """An adopted image without channels has candidate and stable."""
    verified = _with_provenance(make_verified(tmp_path / "disk.raw"), definition={"name": "talos"})
    assert store.add(verified).version.channels == ("candidate", "stable")


def test_progress_reaches_the_end(store: Store, tmp_path: Path) -> None:
    """Copying tells how many bytes of the disk are done, never fewer than before, up to all."""
    events: list[Event] = []
    store.add(make_verified(tmp_path / "disk.raw"), progress=events.append)
    done = [event.done for event in events]
    assert done == sorted(done)
    assert (done[-1], {event.total for event in events}) == (DISK_BYTES, {DISK_BYTES})


def test_references_resolve(store: Store, tmp_path: Path) -> None:
    """Name, version, channel and digest prefix each find the version they mean."""
    first = store.add(make_verified(tmp_path / "disk.raw", 1), promote_to="stable", clock=at(1)).version
    second = store.add(make_verified(tmp_path / "disk.raw", 2), clock=at(2)).version

    def find(text: str, default_channel: str | None = None) -> VersionId:
        return store.find(Reference.parse(text), default_channel=default_channel).id

    assert find("template") == second.id
    assert find("template", "stable") == first.id
    assert find("template@20260701-1", "candidate") == first.id
    assert find("template@candidate") == second.id
    assert find(f"template@{str(first.digest)[: len('sha256:') + 12]}") == first.id


@pytest.mark.parametrize(
    ("reference", "said", "hint"),
    [
        ("templte", "no image 'templte' is stored", "did you mean 'template'? stored: template"),
        ("template@20260701-7", "template has no version 20260701-7", "did you mean '20260701-1'"),
        (
            "template@stabel",
            "template has no channel 'stabel'",
            "did you mean 'stable'? its channels: candidate, stable",
        ),
        ("template@stable", "points to no version yet", "imagekit promote template stable"),
        ("template@sha256:000000000000", "no version with digest", "imagekit images template"),
    ],
)
def test_unknown_references_help(store: Store, tmp_path: Path, reference: str, said: str, hint: str) -> None:
    """What is not there is said in a sentence, with what was probably meant and what there is."""
    store.add(make_verified(tmp_path / "disk.raw"), clock=at(1))
    with pytest.raises(StoreError) as caught:
        store.find(Reference.parse(reference), default_channel=None)
    assert said in caught.value.message
    assert hint in (caught.value.hint or "")


def test_ambiguous_digest_lists_the_candidates(store: Store, tmp_path: Path) -> None:
    """A prefix of two digests is an error that names both versions."""
    for seed in (1, 2):
        store.add(make_verified(tmp_path / "disk.raw", seed), clock=at(seed))
    for number, path in enumerate(sorted(store.root.glob("images/template/*/manifest.json"))):
        data = json.loads(path.read_text())
        data["digest"] = "sha256:" + "ab" * 8 + f"{number:048d}"
        path.chmod(0o644)
        path.write_text(json.dumps(data))
    with pytest.raises(StoreError, match=r"2 digests of template: 20260701-1 .* 20260702-1"):
        store.find(Reference("template", Digest("ab" * 6)), default_channel=None)


def test_channel_to_a_removed_version_is_said(store: Store, tmp_path: Path) -> None:
    """A channel that points to a version somebody removed is an error with the way back."""
    store.add(make_verified(tmp_path / "disk.raw", 1), promote_to="stable", clock=at(1))
    second = store.add(make_verified(tmp_path / "disk.raw", 2), promote_to="stable", clock=at(2)).version
    store.disk_path(second).parent.rename(tmp_path / "away")
    with pytest.raises(StoreError, match="20260702-1, which is no longer stored") as caught:
        store.find(Reference("template", "stable"), default_channel=None)
    assert "imagekit rollback template stable" in (caught.value.hint or "")
    assert str(store.rollback("template").id) == "20260701-1"


def test_description_is_json(store: Store, tmp_path: Path) -> None:
    """A described version can be printed as JSON and has what the commands show."""
    version = store.add(make_verified(tmp_path / "disk.raw"), clock=at(3)).version
    described = json.loads(json.dumps(describe_version(version)))
    assert described["reference"] == "template@20260703-1"
    assert described["digest"] == str(version.digest)
    assert described["created"] == datetime(2026, 7, 3, 12, tzinfo=UTC).isoformat()
    assert described["package_count"] == 2
    assert described["report"]["findings"][0]["severity"] == "warn"
    assert described["provenance"]["builder"] == make_provenance().builder


def test_proof_is_added_to_the_version_that_lacks_it(store: Store, tmp_path: Path) -> None:
    """The same disk with a boot proof gives the proof to the version without one: once, and nothing else changes."""
    proven = make_verified(tmp_path / "disk.raw")
    plain = dataclasses.replace(proven, report=dataclasses.replace(proven.report, boot=None))
    first = store.add(plain, clock=at(5)).version
    history, tree = store.history("template"), list_tree(store.root)
    added = store.add(proven, clock=at(6))
    assert (added.added, added.proof_attached) == (False, True)
    assert added.version == dataclasses.replace(first, report=proven.report)
    assert (store.history("template"), list_tree(store.root)) == (history, tree)
    manifest = store.disk_path(first).with_name("manifest.json")
    assert stat.S_IMODE(manifest.stat().st_mode) == 0o444
    for verified in (proven, plain):
        again = store.add(verified, clock=at(7))
        assert (again.added, again.proof_attached) == (False, False)
        assert again.version == added.version
