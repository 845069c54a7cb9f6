"""The files that an image gets besides its packages."""

import io
import os
import tarfile
from dataclasses import replace
from pathlib import Path

import pytest

from imagekit.build.contents import ImageFile, list_files, list_units, pack_files
from imagekit.build.layout import plan_layout
from imagekit.definition.model import (
    Base,
    Feature,
    FileEntry,
    ImageDefinition,
    Promtail,
    Release,
    RootLogin,
    SshPolicy,
    User,
)
from imagekit.errors import DefinitionInvalid
from imagekit.host import run
from imagekit.image import Architecture

SOURCES = "deb http://deb.debian.example/debian bookworm main\n"


def contents(definition: ImageDefinition) -> dict[str, ImageFile]:
    """Return the files of ``definition`` by path."""
    return {file.path: file for file in list_files(definition, plan_layout(definition), SOURCES)}


def test_default_files(definition: ImageDefinition) -> None:
    """A default template has its filesystems, consoles, data sources, key-only SSH, updates, and no identity."""
    files = contents(definition)
    layout = plan_layout(definition)
    fstab = files["/etc/fstab"].data.decode()
    assert f"UUID={layout.root_uuid} / ext4" in fstab
    assert f"UUID={layout.esp_id} /boot/efi vfat" in fstab
    assert b"console=tty0 console=ttyS0,115200" in files["/etc/default/grub.d/50-imagekit.cfg"].data
    assert b"datasource_list: [ NoCloud, ConfigDrive, None ]" in files["/etc/cloud/cloud.cfg.d/90_imagekit.cfg"].data
    ssh = files["/etc/ssh/sshd_config.d/00-imagekit.conf"].data.decode().splitlines()
    assert {"PasswordAuthentication no", "KbdInteractiveAuthentication no", "PermitRootLogin no"} <= set(ssh)
    assert not any(line.startswith("MaxAuthTries") for line in ssh)
    assert b'Unattended-Upgrade "1"' in files["/etc/apt/apt.conf.d/20auto-upgrades"].data
    assert files["/etc/apt/sources.list"].data.decode() == SOURCES
    assert (files["/etc/machine-id"].data, files["/etc/hostname"].data) == (b"", b"")
    assert not any("sudoers" in path or "authorized_keys" in path for path in files)


def test_image_says_which_one_it_is(definition: ImageDefinition) -> None:
    """A clone can tell its image's name, and two builds of one definition tell the same."""
    stamp = contents(definition)["/etc/cloud/build.info"].data.decode()
    assert stamp.splitlines()[0] == f"build_name: {definition.name}"
    assert stamp == contents(definition)["/etc/cloud/build.info"].data.decode()


def test_root_may_enter_by_key_only_where_asked(definition: ImageDefinition) -> None:
    """root_login = prohibit-password reaches sshd."""
    files = contents(replace(definition, ssh=SshPolicy(RootLogin.KEYS)))
    assert b"PermitRootLogin prohibit-password" in files["/etc/ssh/sshd_config.d/00-imagekit.conf"].data


def test_time_zone_reaches_the_image(definition: ImageDefinition) -> None:
    """The zone is a link, and before Debian 13 also a name."""
    files = contents(replace(definition, timezone="Europe/Berlin"))
    assert files["/etc/localtime"].link == "/usr/share/zoneinfo/Europe/Berlin"
    assert files["/etc/timezone"].data == b"Europe/Berlin\n"
    assert "/etc/timezone" not in contents(replace(definition, base=Base(release=Release.TRIXIE)))


def test_serial_console_is_the_boards(definition: ImageDefinition) -> None:
    """ARM's virtual board calls its first serial port ttyAMA0."""
    assert (
        b"ttyAMA0"
        in contents(replace(definition, architecture=Architecture.ARM64))["/etc/default/grub.d/50-imagekit.cfg"].data
    )


def test_hardening_adds_its_files(definition: ImageDefinition) -> None:
    """Hardening brings sysctls, a firewall that knows the other features, and stricter SSH."""
    plain = contents(definition)
    files = contents(replace(definition, features=(Feature.HARDENING,)))
    assert set(files) - set(plain) == {"/etc/sysctl.d/60-imagekit-hardening.conf", "/etc/nftables.conf"}
    assert b"9100" not in files["/etc/nftables.conf"].data
    assert b"MaxAuthTries 3" in files["/etc/ssh/sshd_config.d/00-imagekit.conf"].data
    both = contents(replace(definition, features=(Feature.HARDENING, Feature.NODE_EXPORTER)))
    assert b"tcp dport 9100 accept" in both["/etc/nftables.conf"].data


@pytest.mark.parametrize("feature", [Feature.DOCKER, Feature.NODE_EXPORTER])
def test_features_of_packages_alone_add_no_file(definition: ImageDefinition, feature: Feature) -> None:
    """Docker and node exporter come ready from Debian."""
    with_feature = replace(definition, features=(feature,))
    assert contents(with_feature) == contents(definition)
    assert list_units(with_feature) == list_units(definition)


def test_promtail_sends_to_loki(definition: ImageDefinition, tmp_path: Path) -> None:
    """Promtail gets the address as YAML text, a place for its positions, and the right to read the journal."""
    url = "http://loki.example:3100/loki/api/v1/push"
    with_promtail = replace(definition, features=(Feature.PROMTAIL,), promtail=Promtail(url, tmp_path / "promtail.deb"))
    files = contents(with_promtail)
    assert f'url: "{url}"'.encode() in files["/etc/promtail/config.yml"].data
    drop_in = files["/etc/systemd/system/promtail.service.d/imagekit.conf"].data
    assert b"StateDirectory=promtail" in drop_in
    assert b"SupplementaryGroups=systemd-journal" in drop_in
    assert "promtail.service" in list_units(with_promtail)


def test_units_follow_the_features(definition: ImageDefinition) -> None:
    """Network, names, time and SSH are always enabled; the firewall with hardening."""
    assert "nftables.service" not in list_units(definition)
    assert list_units(replace(definition, features=(Feature.HARDENING,))) == (
        *list_units(definition),
        "nftables.service",
    )


def test_users_have_keys_and_no_password(definition: ImageDefinition) -> None:
    """Keys belong to the user and are closed to others; sudo without a password only where asked."""
    users = (User("ada", ssh_keys=("ssh-ed25519 AAAA ada",), sudo=True), User("bob"))
    files = contents(replace(definition, users=users))
    keys = files["/home/ada/.ssh/authorized_keys"]
    assert (keys.data, keys.mode, keys.owner, keys.group) == (b"ssh-ed25519 AAAA ada\n", 0o600, "ada", "ada")
    assert files["/etc/sudoers.d/60-ada"].mode == 0o440
    assert "/etc/sudoers.d/60-bob" not in files


def test_operators_files_win(definition: ImageDefinition, tmp_path: Path) -> None:
    """A file of the definition replaces ours, from text or from a file beside it; what cannot be read is named."""
    (tmp_path / "motd").write_bytes(b"\xff\x00")
    entries = (
        FileEntry("/etc/fstab", content="mine\n"),
        FileEntry("/etc/motd", source=tmp_path / "motd", mode=0o600, owner="bob"),
    )
    files = contents(replace(definition, files=entries))
    assert files["/etc/fstab"].data == b"mine\n"
    assert files["/etc/motd"] == ImageFile("/etc/motd", b"\xff\x00", 0o600, "bob", "root")
    with pytest.raises(DefinitionInvalid, match="cannot be read: No such file"):
        contents(replace(definition, files=(FileEntry("/etc/x", source=tmp_path / "none"),)))
    with pytest.raises(DefinitionInvalid, match="neither content nor source"):
        contents(replace(definition, files=(FileEntry("/etc/x"),)))


def test_archive_keeps_order_owners_modes_and_time() -> None:
    """The archive has names for owners, one time for all, and a closed .ssh before what lies in it."""
    files = (
        ImageFile("/home/ada/.ssh/authorized_keys", b"key", 0o600, "ada", "ada"),
        ImageFile("/home/ada/.ssh/config", b"", 0o600, "ada", "ada"),
        ImageFile("/etc/x", b"x", 0o640, "root", "adm"),
        ImageFile("/etc/localtime", b"", 0o777, link="/usr/share/zoneinfo/Etc/UTC"),
    )
    packed = pack_files(files, 1234)
    assert packed == pack_files(files, 1234)
    with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
        members = archive.getmembers()
    assert [(one.name, one.mode, one.uname, one.gname) for one in members] == [
        ("home/ada/.ssh", 0o700, "ada", "ada"),
        ("home/ada/.ssh/authorized_keys", 0o600, "ada", "ada"),
        ("home/ada/.ssh/config", 0o600, "ada", "ada"),
        ("etc/x", 0o640, "root", "adm"),
        ("etc/localtime", 0o777, "root", "root"),
    ]
    assert {one.mtime for one in members} == {1234}
    assert members[0].isdir()
    assert (members[4].issym(), members[4].linkname) == (True, "/usr/share/zoneinfo/Etc/UTC")


def test_tar_unpacks_the_archive(tmp_path: Path) -> None:
    """The program that unpacks it in the image reads it as it was meant."""
    packed = pack_files((ImageFile("/etc/é", b"text", 0o640), ImageFile("/etc/l", b"", link="é")), 1234)
    run(["tar", "--extract", "--no-same-owner", "--directory", os.fspath(tmp_path), "--file", "-"], stdin=packed)
    assert (tmp_path / "etc/l").read_text() == "text"
    assert int((tmp_path / "etc/é").stat().st_mtime) == 1234
