"""What a build brings into the machine, read back from the archive as ``apply.sh`` reads it."""

import io
import stat
import tarfile
from dataclasses import replace
from pathlib import Path

import pytest

from imagekit.build.packer.choose import Start
from imagekit.build.packer.payload import has_networkd, list_packages, write_payload
from imagekit.definition.model import (
    Base,
    Builder,
    Distribution,
    Feature,
    FileEntry,
    ImageDefinition,
    Promtail,
    Release,
    User,
)
from imagekit.errors import DefinitionInvalid
from imagekit.host import run
from tests.build.conftest import make_package

_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHs me@desk.example"
_NEEDED = {"cloud-init", "qemu-guest-agent"}
_RELEASES = (Release.BOOKWORM, Release.TRIXIE, Release.NOBLE, Release.ALPINE_3_22)
_ADDED = (Start.GIVEN_DISK, Start.CLONE)
_OURS = (Start.LOCAL_DISK, Start.INSTALLER)


def define(release: Release = Release.BOOKWORM) -> ImageDefinition:
    """Return a definition with something of everything."""
    return ImageDefinition(
        name="web",
        builder=Builder.PACKER,
        base=Base(release.distribution, release),
        packages=("vim", "curl"),
        features=(Feature.NODE_EXPORTER, Feature.DOCKER),
        files=(FileEntry("/etc/motd", content="hello\n", mode=0o640, owner="deploy", group="adm"),),
        users=(User("deploy", ("adm", "users"), "/bin/sh", (_KEY,), sudo=True), User("plain")),
    )


def read_payload(path: Path) -> dict[str, bytes]:
    """Return the members of an archive by name; every one is its owner's alone."""
    with tarfile.open(path) as archive:
        members = archive.getmembers()
        assert {(member.isfile(), member.mode) for member in members} == {(True, 0o600)}
        contents = {member.name: archive.extractfile(member) for member in members}
        return {name: file.read() for name, file in contents.items() if file is not None}


def read_additions(payload: dict[str, bytes]) -> dict[str, tarfile.TarInfo]:
    """Return what is unpacked over the machine's own files, by path."""
    with tarfile.open(fileobj=io.BytesIO(payload["additions.tar"])) as archive:
        return {f"/{member.name}": member for member in archive.getmembers()}


@pytest.mark.parametrize("start", [*_OURS, *_ADDED])
@pytest.mark.parametrize("release", _RELEASES)
def test_packages_of_each_start(start: Start, release: Release) -> None:
    """The definition's packages and features are always installed, a clone's needs where others made the disk."""
    definition = define(release)
    names = list_packages(definition, start)
    assert len(names) == len(set(names))
    assert {"vim", "curl", "prometheus-node-exporter"} < set(names)
    docker = {Release.ALPINE_3_22: {"docker", "docker-cli"}, Release.TRIXIE: {"docker.io", "docker-cli"}}
    assert docker.get(release, {"docker.io"}) < set(names)
    assert (set(names) >= _NEEDED) is (start in _ADDED)
    assert _NEEDED.isdisjoint(names) is (start in _OURS)


def test_nothing_wanted_is_nothing_installed() -> None:
    """A definition without packages and features adds none to the local builder's disk."""
    assert list_packages(ImageDefinition(name="web"), Start.LOCAL_DISK) == ()


@pytest.mark.parametrize("start", [*_OURS, *_ADDED])
@pytest.mark.parametrize("release", _RELEASES)
def test_network_stays_as_it_was_found(start: Start, release: Release, tmp_path: Path) -> None:
    """networkd is enabled only where it is our own doing: on Debian's disks that we made or had installed."""
    definition = define(release)
    ours = start in _OURS and release.distribution is Distribution.DEBIAN
    assert has_networkd(definition, start) is ours
    write_payload(tmp_path / "payload.tar", definition, start)
    payload = read_payload(tmp_path / "payload.tar")
    units = payload["units"].decode().splitlines()
    server = "sshd.service" if release is Release.ALPINE_3_22 else "ssh.service"
    assert ("systemd-networkd.service" in units) is ours
    assert server in units
    with tarfile.open(fileobj=io.BytesIO(payload["additions.tar"])) as archive:
        file = archive.extractfile("etc/cloud/cloud.cfg.d/90_imagekit.cfg")
        assert file is not None
        assert (b"networkd" in file.read()) is ours


@pytest.mark.parametrize("start", [*_OURS, *_ADDED])
@pytest.mark.parametrize("release", _RELEASES)
def test_archive_holds_what_apply_reads(start: Start, release: Release, tmp_path: Path) -> None:
    """The archive has exactly the documents that apply.sh names, a line each, with a line end after every one."""
    definition = define(release)
    path = tmp_path / "payload.tar"
    write_payload(path, definition, start)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    payload = read_payload(path)
    assert set(payload) == {"packages", "users", "units", "additions.tar"}
    assert payload["packages"].decode() == "".join(f"{name}\n" for name in list_packages(definition, start))
    assert payload["users"] == b"deploy:/bin/sh:adm,users\nplain:/bin/bash:\n"
    additions = read_additions(payload)
    motd = additions["/etc/motd"]
    assert (motd.mode, motd.uname, motd.gname) == (0o640, "deploy", "adm")
    keys = additions["/home/deploy/.ssh/authorized_keys"]
    assert (keys.mode, keys.uname) == (0o600, "deploy")
    assert additions["/etc/sudoers.d/60-deploy"].mode == 0o440
    assert ("/etc/default/grub.d/50-imagekit.cfg" in additions) is (release is not Release.ALPINE_3_22)
    # What identifies one machine, and what the running system made, is nobody's to bring.
    assert {"/etc/fstab", "/etc/machine-id", "/etc/hostname", "/etc/hosts", "/etc/apt/sources.list"}.isdisjoint(
        additions
    )


def test_promtail_comes_as_a_package_file(tmp_path: Path) -> None:
    """The operator's package goes in whole, with its configuration and its unit."""
    package = make_package(tmp_path, "promtail")
    definition = replace(
        define(), features=(Feature.PROMTAIL,), promtail=Promtail("https://loki.example/loki/api/v1/push", package)
    )
    write_payload(tmp_path / "payload.tar", definition, Start.LOCAL_DISK)
    payload = read_payload(tmp_path / "payload.tar")
    assert payload["debs/promtail.deb"] == package.read_bytes()
    assert "promtail.service" in payload["units"].decode().splitlines()
    assert {"/etc/promtail/config.yml", "/etc/systemd/system/promtail.service.d/imagekit.conf"} <= set(
        read_additions(payload)
    )


def test_missing_package_file_is_told(tmp_path: Path) -> None:
    """A package file that is gone is a mistake of the definition with its place."""
    promtail = Promtail("https://loki.example/push", tmp_path / "gone.deb")
    definition = replace(define(), features=(Feature.PROMTAIL,), promtail=promtail)
    with pytest.raises(DefinitionInvalid, match=r"gone\.deb cannot be read: No such file") as caught:
        write_payload(tmp_path / "payload.tar", definition, Start.LOCAL_DISK)
    assert "promtail.package" in str(caught.value.hint)


def test_missing_file_is_told(tmp_path: Path) -> None:
    """A file that the definition names and that is gone is a mistake of the definition with its place."""
    entry = FileEntry("/etc/motd", source=tmp_path / "gone")
    with pytest.raises(DefinitionInvalid, match=r"gone for /etc/motd cannot be read"):
        write_payload(tmp_path / "payload.tar", replace(define(), files=(entry,)), Start.LOCAL_DISK)


def test_tar_unpacks_it_as_the_script_does(tmp_path: Path) -> None:
    """GNU tar, with the options of apply.sh, unpacks the archive and the one within it."""
    write_payload(tmp_path / "payload.tar", define(), Start.LOCAL_DISK)
    inner = tmp_path / "inner"
    inner.mkdir()
    run(["tar", "--extract", "--file", str(tmp_path / "payload.tar"), "--directory", str(inner)])
    listed = run(["tar", "--list", "--verbose", "--file", str(inner / "additions.tar")]).output.decode()
    assert "deploy/deploy" in listed
    assert "home/deploy/.ssh/authorized_keys" in listed


def test_archive_is_written_once(tmp_path: Path) -> None:
    """Nothing of an earlier build is in it, nor anything of this machine: no path, no user."""
    path = tmp_path / "payload.tar"
    write_payload(path, ImageDefinition(name="web"), Start.LOCAL_DISK)
    payload = read_payload(path)
    assert (payload["packages"], payload["users"]) == (b"", b"")
    for word in (str(tmp_path), "PRIVATE KEY"):
        assert word.encode() not in path.read_bytes()
