"""The flow: what is built is verified, then booted, then stored; what fails is not stored; no disk boots twice."""

from dataclasses import replace
from pathlib import Path

import pytest

from imagekit.definition import Project, read_project
from imagekit.errors import DefinitionInvalid, StoreError
from imagekit.image import Reference
from imagekit.pipeline import BuildOptions, ImageUnfit, build_image, verify_stored
from imagekit.progress import Event
from imagekit.report import NotObserved, Report
from imagekit.settings import Settings, read_settings
from imagekit.store import Store, open_store
from tests.stand_in import StandIn, make_boot_finding, make_dirty


@pytest.fixture
def stand_in(clean_disk: Path, monkeypatch: pytest.MonkeyPatch) -> StandIn:
    """Return the stand-in for builder and proof, which gives the clean disk."""
    return StandIn(clean_disk).install(monkeypatch)


@pytest.fixture
def settings(stand_in: StandIn) -> Settings:
    """Return the settings of an operator who has set nothing but the accelerator."""
    return read_settings({})


@pytest.fixture
def store(settings: Settings) -> Store:
    """Return the store of these settings."""
    return open_store(settings.store)


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """Return the built-in project."""
    return read_project(tmp_path)


def test_built_image_becomes_a_proven_version(
    project: Project, settings: Settings, store: Store, stand_in: StandIn
) -> None:
    """A fit disk is booted once and stored with the whole report; its working directory is gone."""
    events: list[Event] = []
    stored = build_image("template", project, settings, BuildOptions(promote_to="stable"), events.append)
    assert stored.added
    assert store.channels("template") == {"candidate": stored.version.id, "stable": stored.version.id}
    report = stored.version.report
    assert set(report.boot or {}) == {"clone-a", "clone-b"}
    assert {"machine-id", "boot-ssh"} <= set(report.passed)
    assert report.target == "template"
    assert [f"sha256:{booted}" for booted in stand_in.booted] == [str(stored.version.digest)]
    (workspace,) = stand_in.workspaces
    assert workspace.parent == settings.cache / "builds"
    assert not workspace.exists()
    stages = list(dict.fromkeys(event.stage for event in events))
    assert stages == ["writing the disk", "verifying", "booting two clones", "storing the version"]


def test_no_disk_boots_twice(project: Project, settings: Settings, store: Store, stand_in: StandIn) -> None:
    """The same bytes again give the same version, without another boot."""
    first = build_image("template", project, settings, BuildOptions())
    second = build_image("template", project, settings, BuildOptions())
    assert (first.added, second.added) == (True, False)
    assert second.version == first.version
    assert len(stand_in.booted) == 1


def test_proof_made_later_is_kept(project: Project, settings: Settings, store: Store, stand_in: StandIn) -> None:
    """A version that was stored without booting gains the proof when the same bytes are built and booted later."""
    plain = build_image("template", project, settings, BuildOptions(boot_test=False))
    assert plain.version.report.boot is None
    proven = build_image("template", project, settings, BuildOptions())
    assert (proven.added, proven.proof_attached) == (False, True)
    assert proven.version.id == plain.version.id
    assert proven.version.report.boot is not None
    assert store.find(Reference("template"), default_channel=None) == proven.version
    third = build_image("template", project, settings, BuildOptions())
    assert (third.added, third.proof_attached) == (False, False)
    assert len(stand_in.booted) == 1


def test_later_build_without_a_boot_takes_no_proof_away(
    project: Project, settings: Settings, store: Store, stand_in: StandIn
) -> None:
    """A build with --no-boot-test leaves a proof that is there."""
    build_image("template", project, settings, BuildOptions())
    again = build_image("template", project, settings, BuildOptions(boot_test=False))
    assert again.version.report.boot is not None


def test_definition_decides_about_booting(
    tmp_path: Path, settings: Settings, stand_in: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With boot_test = false nothing is booted, and no emulator is asked for."""
    (tmp_path / "imagekit.toml").write_text("[images.template]\nboot_test = false\n")
    monkeypatch.setattr("shutil.which", lambda name, path=None: None if "qemu" in name else f"/usr/bin/{name}")
    stored = build_image("template", read_project(tmp_path), settings, BuildOptions())
    assert stored.version.report.boot is None
    assert stand_in.booted == []


def test_unfit_disk_is_neither_booted_nor_stored(
    project: Project, settings: Settings, store: Store, stand_in: StandIn, tmp_path: Path
) -> None:
    """A disk that fails a check offline raises with its report; nothing boots, nothing is stored, nothing is kept."""
    stand_in.disk = make_dirty(stand_in.disk, tmp_path)
    with pytest.raises(ImageUnfit, match="template is not fit to be cloned: 1 check failed") as caught:
        build_image("template", project, settings, BuildOptions())
    assert [finding.check for finding in caught.value.report.findings] == ["machine-id"]
    assert "--keep" in (caught.value.hint or "")
    assert stand_in.booted == []
    assert store.list_versions("template") == ()
    assert not stand_in.workspaces[0].exists()


def test_unfit_disk_is_kept_when_asked(
    project: Project, settings: Settings, store: Store, stand_in: StandIn, tmp_path: Path
) -> None:
    """With ``keep`` the failed disk is put aside and named, and still not stored."""
    stand_in.disk = make_dirty(stand_in.disk, tmp_path)
    with pytest.raises(ImageUnfit) as caught:
        build_image("template", project, settings, BuildOptions(keep=True))
    assert caught.value.kept is not None
    assert caught.value.kept.read_bytes() == stand_in.disk.read_bytes()
    assert str(caught.value.kept) in (caught.value.hint or "")
    assert store.list_versions("template") == ()


def test_clone_that_does_not_boot_is_not_stored(
    project: Project, settings: Settings, store: Store, stand_in: StandIn
) -> None:
    """What only booting shows stops the flow as well; the report has both kinds of evidence."""
    stand_in.boot_findings = (make_boot_finding(),)
    with pytest.raises(ImageUnfit) as caught:
        build_image("template", project, settings, BuildOptions())
    report = caught.value.report
    assert [finding.check for finding in report.findings] == ["boot-ssh"]
    assert "machine-id" in report.passed
    assert report.boot is not None
    assert store.list_versions("template") == ()


def test_what_could_not_be_seen_is_not_stored(
    project: Project, settings: Settings, store: Store, stand_in: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A check that could not be made on our own disk stops the flow as a failed one does; it never counts as passed."""
    from imagekit import verify

    def verify_blindly(path: Path, *arguments: object, **options: object) -> Report:
        report = verify_disk(path)
        return replace(report, not_observed=(NotObserved("machine-id", "no time was left"),))

    verify_disk = verify.verify_disk
    monkeypatch.setattr(verify, "verify_disk", verify_blindly)
    with pytest.raises(ImageUnfit, match="1 could not be made"):
        build_image("template", project, settings, BuildOptions(boot_test=False))
    assert store.list_versions("template") == ()


def test_unknown_channel_is_refused_before_the_build(project: Project, settings: Settings, stand_in: StandIn) -> None:
    """A channel that the image does not have is a mistake that needs no build to be found."""
    with pytest.raises(DefinitionInvalid, match="has no channel 'live'"):
        build_image("template", project, settings, BuildOptions(promote_to="live"))
    assert stand_in.workspaces == []


def test_one_build_of_an_image_at_a_time(project: Project, settings: Settings, store: Store, stand_in: StandIn) -> None:
    """While an image is built, another build of it ends before it begins."""
    with store.lock_build("template"), pytest.raises(StoreError, match="is being built by PID"):
        build_image("template", project, settings, BuildOptions())
    assert stand_in.workspaces == []


def test_stored_version_is_verified_as_it_was_defined(
    tmp_path: Path, settings: Settings, store: Store, stand_in: StandIn
) -> None:
    """Verifying a reference allows the users that its own definition made."""
    build_image("template", read_project(tmp_path), settings, BuildOptions(boot_test=False))
    report = verify_stored(Reference("template"), settings)
    assert not report.failed
    assert report.target == str(store.list_versions("template")[0].reference)
