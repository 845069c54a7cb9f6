"""What lies beside a template when a build begins: a key that is this build's alone, the seed, the payload."""

import io
import stat
from dataclasses import replace
from pathlib import Path
from typing import Any

import pycdlib
import pytest

from imagekit.build.packer.choose import Start
from imagekit.build.packer.prepare import prepare_build
from imagekit.definition.model import GIB, Base, Builder, ImageDefinition, Medium, PackerBuild, Release
from imagekit.errors import DefinitionInvalid, ExitCode, ToolMissing

_MARK = b"PRIVATE KEY"


def define(release: Release = Release.BOOKWORM, **packer: object) -> ImageDefinition:
    """Return a definition that Packer builds, large enough for any installer."""
    build = PackerBuild(**packer)  # type: ignore[arg-type] # PackerBuild's own fields
    base = Base(release.distribution, release)
    return ImageDefinition(name="web", builder=Builder.PACKER, base=base, packer=build, size=8 * GIB)


def read_seed(path: Path) -> dict[str, bytes]:
    """Return the files of a seed by their Joliet names."""
    iso = pycdlib.PyCdlib()
    iso.open(str(path))
    try:
        found = {}
        for child in iso.list_children(joliet_path="/"):
            if not child.is_dir():
                name = child.file_identifier().decode("utf-16-be")
                content = io.BytesIO()
                iso.get_file_from_iso_fp(content, joliet_path=f"/{name}")
                found[name] = content.getvalue()
        return found
    finally:
        iso.close()


def read_line(key: Path) -> str:
    """Return the public half of a private key, as the library reads it."""
    from cryptography.hazmat.primitives import serialization

    private = serialization.load_ssh_private_key(key.read_bytes(), password=None)
    return (
        private.public_key().public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH).decode()
    )


@pytest.mark.parametrize("start", [Start.LOCAL_DISK, Start.GIVEN_DISK, Start.CLONE])
def test_disk_gets_a_seed_for_one_account(start: Start, tmp_path: Path) -> None:
    """Key, seed and payload are their owner's alone, and the seed has the public half of that key and nothing more."""
    prepare_build(tmp_path, define(), start, "build-1")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["key", "payload.tar", "seed.iso"]
    for name in ("key", "payload.tar", "seed.iso"):
        assert stat.S_IMODE((tmp_path / name).stat().st_mode) == 0o600, name
    seed = read_seed(tmp_path / "seed.iso")
    assert set(seed) == {"meta-data", "user-data"}
    assert read_line(tmp_path / "key").encode() in seed["user-data"]
    assert b"imagekit-build-1" in seed["meta-data"]


@pytest.mark.parametrize("release", list(Release))
def test_installer_gets_its_answers(release: Release, tmp_path: Path) -> None:
    """An installer's seed has the answers of its release on top."""
    prepare_build(tmp_path, define(release), Start.INSTALLER, "build-1")
    own = {
        Release.NOBLE: {"grub.cfg"},
        Release.ALPINE_3_22: {"imagekit.apkovl.tar.gz"},
    }.get(release, {"grub.cfg", "preseed.cpio.gz"})
    assert set(read_seed(tmp_path / "seed.iso")) == {"meta-data", "user-data"} | own


@pytest.mark.parametrize("start", [Start.LOCAL_DISK, Start.INSTALLER])
def test_private_key_leaves_its_file_nowhere(start: Start, tmp_path: Path) -> None:
    """Neither the seed nor the payload holds the private key, in whatever part of it."""
    prepare_build(tmp_path, define(), start, "build-1")
    lines = [line for line in (tmp_path / "key").read_bytes().splitlines() if b"-----" not in line]
    whole = (tmp_path / "seed.iso").read_bytes() + (tmp_path / "payload.tar").read_bytes()
    assert _MARK not in whole
    # The first lines of the form hold its name and the public half.
    assert not [line for line in lines[2:-1] if line in whole]


def test_every_build_has_its_own_key(tmp_path: Path) -> None:
    """Two builds of one definition share no key."""
    keys = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        prepare_build(tmp_path / name, define(), Start.LOCAL_DISK, name)
        keys.append((tmp_path / name / "key").read_bytes())
    assert keys[0] != keys[1]


def test_medium_elsewhere_is_not_looked_for(tmp_path: Path) -> None:
    """An ISO on the cluster and a disk behind a URL are nothing that could be looked for here."""
    for name, definition in (
        ("iso", define(iso=Medium("", volume="local:iso/debian.iso"))),
        ("disk", define(disk=Medium("ab" * 32, url="https://cloud.example/debian.qcow2"))),
    ):
        (tmp_path / name).mkdir()
        prepare_build(tmp_path / name, definition, Start.CLONE, "build-1")
        assert (tmp_path / name / "seed.iso").is_file()


def test_key_of_an_earlier_build_is_not_taken(tmp_path: Path) -> None:
    """What is there already is neither used nor overwritten."""
    (tmp_path / "key").write_text("somebody's")
    with pytest.raises(FileExistsError):
        prepare_build(tmp_path, define(), Start.LOCAL_DISK, "build-1")
    assert (tmp_path / "key").read_text() == "somebody's"


@pytest.mark.parametrize("what", ["playbook", "scripts", "disk", "iso"])
def test_missing_file_is_refused_before_anything_is_made(what: str, tmp_path: Path) -> None:
    """A playbook, script, disk or ISO that is gone ends the build with its name while nothing has been made."""
    gone = tmp_path / "gone"
    medium = Medium("ab" * 32, path=gone)
    brought: dict[str, Any] = {what: {"playbook": gone, "scripts": (gone,)}.get(what, medium)}
    definition = define(**brought)
    workspace = tmp_path / "workspace"
    workspace.mkdir()
    with pytest.raises(DefinitionInvalid, match=r"gone is not there") as caught:
        prepare_build(workspace, definition, Start.LOCAL_DISK, "build-1")
    assert "[images.web.packer]" in str(caught.value.hint)
    assert list(workspace.iterdir()) == []


def test_playbook_needs_ansible(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A playbook without Ansible on this machine is a missing tool, before anything is made; without one none is."""
    playbook = tmp_path / "play.yml"
    playbook.write_text("[]\n")
    workspace = tmp_path / "workspace"
    workspace.mkdir()
    monkeypatch.setenv("PATH", str(workspace))
    with pytest.raises(ToolMissing) as caught:
        prepare_build(workspace, define(playbook=playbook), Start.LOCAL_DISK, "build-1")
    assert caught.value.exit_code is ExitCode.MISSING
    assert list(workspace.iterdir()) == []
    prepare_build(workspace, define(), Start.LOCAL_DISK, "build-1")


def test_disk_too_small_for_an_installer_is_told(tmp_path: Path) -> None:
    """An installer's disk that cannot hold the system is refused, and the key that was made goes with the workspace."""
    with pytest.raises(DefinitionInvalid, match="too few for an installation of ubuntu"):
        prepare_build(tmp_path, replace(define(Release.NOBLE), size=2 * GIB), Start.INSTALLER, "build-1")
