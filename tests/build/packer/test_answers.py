"""Installers' answers: whole, without a password, and nothing in them that a value could turn into more than itself."""

import gzip
import io
import json
import re
import tarfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from imagekit.build.packer.answers import boot_command, make_boot_seed, make_seed_files
from imagekit.definition.model import GIB, Base, ImageDefinition, Release
from imagekit.disk.cpio import read_initrd
from imagekit.errors import DefinitionInvalid
from imagekit.host import run

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl build"
_DEBIAN = (Release.BOOKWORM, Release.TRIXIE)


def _define(release: Release, **values: Any) -> ImageDefinition:
    return replace(ImageDefinition("web", base=Base(release.distribution, release), size=8 * GIB), **values)


def _make(release: Release, **values: Any) -> Mapping[str, bytes]:
    return make_seed_files(_define(release, **values), KEY + "\n", instance_id="imagekit-1")


def _unpack(initrd: bytes) -> dict[str, str]:
    members = read_initrd(lambda at, length: initrd[at : at + length], lambda _name: 1 << 20)
    return {member.name: member.content.decode() for member in members}


def _unpack_overlay(overlay: bytes) -> dict[str, str]:
    with tarfile.open(fileobj=io.BytesIO(overlay)) as archive:
        files = {member.name: archive.extractfile(member) for member in archive if member.isreg()}
        return {name: file.read().decode() for name, file in files.items() if file is not None}


def _read_preseed(release: Release, **values: Any) -> dict[str, tuple[str, str]]:
    """Return the answers by question, each with its type."""
    text = _unpack(_make(release, **values)["preseed.cpio.gz"])["preseed.cfg"].replace("\\\n", " ")
    lines = [line.split(None, 3) for line in text.splitlines() if line and not line.startswith("#")]
    return {line[1]: (line[2], line[3] if len(line) == 4 else "") for line in lines}


def _read_all_texts(release: Release) -> str:
    """Return everything on the seed as text, archives unpacked."""
    texts: list[str] = []
    for name, data in _make(release).items():
        if name == "preseed.cpio.gz":
            texts += _unpack(data).values()
        elif name.endswith(".apkovl.tar.gz"):
            texts += _unpack_overlay(data).values()
        else:
            texts.append(data.decode())
    return "\n".join(texts)


@pytest.mark.parametrize("release", [Release.BOOKWORM, Release.TRIXIE, Release.NOBLE])
def test_few_keys_lead_to_the_seed(release: Release) -> None:
    """A busy firmware loses keys: at most 50 are typed, and few with shift."""
    command = "".join(boot_command(release))
    specials = re.findall(r"<[a-z0-9]+>", command)
    typed = re.sub(r"<[a-z0-9]+>", "", command)
    assert set(specials) <= {"<wait>", "<enter>"}
    assert len(typed) + specials.count("<enter>") <= 50
    assert re.fullmatch(r"[a-z ./-]+CIDATA[a-z ./-]+", typed)
    assert command.startswith("c<wait>")
    assert command.endswith("<enter>configfile /grub.cfg<enter>")


def test_alpine_is_typed_nothing() -> None:
    """Its menu is gone after a second; the overlay is found without it."""
    assert boot_command(Release.ALPINE_3_22) == ()
    assert "grub.cfg" not in _make(Release.ALPINE_3_22)


@pytest.mark.parametrize(
    ("release", "files"),
    [
        (Release.BOOKWORM, {"grub.cfg", "preseed.cpio.gz", "user-data", "meta-data"}),
        (Release.TRIXIE, {"grub.cfg", "preseed.cpio.gz", "user-data", "meta-data"}),
        (Release.NOBLE, {"grub.cfg", "user-data", "meta-data"}),
        (Release.ALPINE_3_22, {"imagekit.apkovl.tar.gz", "user-data", "meta-data"}),
    ],
)
def test_seed_holds_what_the_installer_reads(release: Release, files: set[str]) -> None:
    """Each release has its own files, and the same ones every time."""
    assert set(_make(release)) == files
    assert _make(release) == _make(release)


@pytest.mark.parametrize("release", list(Release))
def test_seed_serves_the_first_boot_too(release: Release) -> None:
    """cloud-init finds a name for the machine and the build's account: its key, its rights, no password."""
    files = _make(release)
    assert json.loads(files["meta-data"]) == {"instance-id": "imagekit-1", "local-hostname": "web"}
    assert files["user-data"].startswith(b"#cloud-config\n")
    document = yaml.safe_load(files["user-data"])
    config = document["autoinstall"]["user-data"] if release is Release.NOBLE else document
    (account,) = config["users"]
    assert account == {
        "name": "packer",
        "lock_passwd": True,
        "shell": "/bin/sh",
        "sudo": "ALL=(ALL) NOPASSWD:ALL",
        "ssh_authorized_keys": [KEY],
    }


@pytest.mark.parametrize("release", list(Release))
def test_nobody_gets_a_password(release: Release) -> None:
    """No hash and no plain password is anywhere on the seed, and what an installer insists on is closed."""
    text = _read_all_texts(release)
    assert not re.search(r"\$(?:1|2[aby]|5|6|7|y|gy)\$", text)
    mentions = {line.strip() for line in text.splitlines() if re.search("passw", line) and not line.startswith("#")}
    assert mentions <= {
        '"lock_passwd": true,',
        "d-i passwd/make-user boolean false",
        "d-i passwd/root-login boolean true",
        "d-i passwd/root-password-crypted password *",
        "echo 'root:*' | chpasswd -e",
    } | {line for line in mentions if line.startswith("# ")}
    assert "PRIVATE KEY" not in text


@pytest.mark.parametrize("release", _DEBIAN)
def test_debian_asks_nothing(release: Release) -> None:
    """Root is closed without a question, no account is made, and the disk is the whole of the only one."""
    answers = _read_preseed(release)
    assert answers["passwd/root-password-crypted"] == ("password", "*")  # '!' would be asked about by Debian 13
    assert answers["passwd/make-user"] == ("boolean", "false")
    assert answers["netcfg/hostname"] == ("string", "web")
    assert answers["partman-auto/method"] == ("string", "regular")
    recipe = answers["partman-auto/expert_recipe"][1].split()
    assert recipe[:2] == ["imagekit", "::"]
    assert recipe.count(".") == 2
    assert {"method{", "efi"} <= set(recipe)
    assert "linux-swap" not in recipe
    assert recipe[2:6] == ["68", "68", "68", "free"]  # 64 MiB in millions of bytes, rounded up
    assert recipe[recipe.index(".") + 1 :][:4] == ["900", "10000", "-1", "ext4"]
    assert "iflabel{" not in " ".join(recipe)  # the ESP would be left out where the label is not known yet
    assert answers["grub-installer/force-efi-extra-removable"] == ("boolean", "true")
    assert answers["debian-installer/add-kernel-opts"][1].split()[-1] == "console=ttyS0,115200"


@pytest.mark.parametrize("release", _DEBIAN)
def test_debconf_takes_the_preseed(release: Release, tmp_path: Path) -> None:
    """Debian's own reader finds every line well formed; flags of the installer's questions it knows only in there."""
    preseed = tmp_path / "preseed.cfg"
    lines = _unpack(_make(release)["preseed.cpio.gz"])["preseed.cfg"].splitlines(keepends=True)
    preseed.write_text("".join(line for line in lines if not line.rstrip().endswith(" seen true")))
    said = run(["debconf-set-selections", "--checkonly", str(preseed)], check=False, timeout=60)
    assert (said.status, said.errors) == (0, "")


def test_debconf_notices_a_broken_preseed(tmp_path: Path) -> None:
    """The reader of the test above can fail."""
    preseed = tmp_path / "preseed.cfg"
    preseed.write_text("d-i\n")
    assert run(["debconf-set-selections", "--checkonly", str(preseed)], check=False, timeout=60).status != 0


@pytest.mark.parametrize("release", _DEBIAN)
def test_last_step_of_debian_is_a_script_that_its_shell_takes(release: Release) -> None:
    """The script is in the initrd beside what it reads, and it removes nothing that cloud-init depends on."""
    files = _unpack(_make(release)["preseed.cpio.gz"])
    answers = _read_preseed(release)
    assert answers["preseed/late_command"] == ("string", "sh /imagekit/late.sh")
    assert run(["sh", "-n", "-c", files["imagekit/late.sh"]], timeout=60).status == 0
    for name in re.findall(r"/imagekit/([a-z.]+)", files["imagekit/late.sh"]):
        assert f"imagekit/{name}" in files
    assert "purge ifupdown\n" in files["imagekit/late.sh"]
    assert {"cloud-init", "qemu-guest-agent", "openssh-server"} <= set(files["imagekit/packages"].split())
    assert yaml.safe_load(files["imagekit/cloud.cfg"])["system_info"]["network"]["renderers"] == ["networkd"]


@pytest.mark.parametrize(
    ("release", "kernel", "initrd"),
    [
        (Release.BOOKWORM, "/install.amd/vmlinuz", "/install.amd/initrd.gz ($seed)/preseed.cpio.gz"),
        (Release.NOBLE, "/casper/vmlinuz", "/casper/initrd"),
    ],
)
def test_seed_tells_grub_the_rest(release: Release, kernel: str, initrd: str) -> None:
    """The medium is found by its kernel, the seed by its label once more, and no step follows a failed one."""
    lines = [line.strip() for line in _make(release)["grub.cfg"].decode().splitlines() if not line.startswith("#")]
    assert lines[:2] == [
        "search --no-floppy --label --set=seed CIDATA",
        f"search --no-floppy --file --set=root {kernel}",
    ]
    assert lines[2].startswith(f"if linux {kernel} ")
    assert lines[2].endswith(" --- console=tty0 console=ttyS0,115200; then")
    assert lines[3:] == [f"if initrd {initrd}; then", "boot", "fi", "fi"]


def test_ubuntu_answers_are_complete_and_ask_nothing() -> None:
    """No section is interactive and no identity is given; the disk is one plain partition without swap."""
    answers = yaml.safe_load(_make(Release.NOBLE)["user-data"])["autoinstall"]
    assert answers["version"] == 1
    assert not {"identity", "interactive-sections", "timezone"} & set(answers)
    assert answers["storage"] == {"layout": {"name": "direct", "match": {"size": "largest"}}, "swap": {"size": 0}}
    assert answers["ssh"] == {"install-server": True, "allow-pw": False}
    assert answers["shutdown"] == "reboot"
    assert "qemu-guest-agent" in answers["packages"]
    assert answers["user-data"]["hostname"] == "web"
    grub = _make(Release.NOBLE)["grub.cfg"].decode()
    assert (
        " autoinstall noprompt " in grub
    )  # asks neither for a yes before the disk is written nor for the CD afterwards


def test_alpine_overlay_installs_and_leaves_nothing_of_itself() -> None:
    """The script is started by a service, takes itself away before the system is copied, and is POSIX shell."""
    overlay = _make(Release.ALPINE_3_22)["imagekit.apkovl.tar.gz"]
    with tarfile.open(fileobj=io.BytesIO(overlay)) as archive:
        assert archive.getmember("etc/local.d/imagekit.start").mode == 0o755
        assert archive.getmember("etc/runlevels/default/local").linkname == "/etc/init.d/local"
        assert archive.getmember("etc/runlevels/boot/networking").linkname == "/etc/init.d/networking"
    files = _unpack_overlay(overlay)
    script = files["etc/local.d/imagekit.start"]
    assert run(["sh", "-n", "-c", script], timeout=60).status == 0
    assert script.index("rm -f /etc/local.d/imagekit.start") < script.index("setup-disk -m sys -s 0")
    assert script.rstrip().endswith("reboot")
    assert {"cloud-init", "openssh-server-pam", "qemu-guest-agent", "sudo"} <= set(
        files["etc/imagekit-packages"].split()
    )
    assert "system_info" not in yaml.safe_load(files["etc/cloud/cloud.cfg.d/90_imagekit.cfg"])
    assert gzip.decompress(overlay)[:100].rstrip(b"\0") == b"etc/.default_boot_services"


@pytest.mark.parametrize("release", list(Release))
@pytest.mark.parametrize(
    "values",
    [
        {"name": "web\nd-i preseed/late_command string reboot"},
        {"name": 'web"; reboot; "'},
        {"name": "$(reboot)"},
        {"name": ""},
        {"timezone": "Etc/UTC\nd-i partman/early_command string reboot"},
        {"timezone": "Etc/UTC; reboot"},
        {"timezone": "`reboot`"},
        {"timezone": "-z"},
    ],
)
def test_hostile_value_is_refused(release: Release, values: dict[str, str]) -> None:
    """A value that an installer's file could take for more than one is an error, though the parser let it through."""
    with pytest.raises(DefinitionInvalid, match="cannot be written into an installer's answers"):
        _make(release, **values)


@pytest.mark.parametrize(
    ("key", "user", "instance"),
    [
        (f"{KEY}\nssh-ed25519 AAAA other", "packer", "i"),
        (f'command="sh" {KEY}', "packer", "i"),
        ("", "packer", "i"),
        (KEY, "packer\nroot", "i"),
        (KEY, "pac ker", "i"),
        (KEY, "packer", "i\nj"),
    ],
)
def test_hostile_key_or_account_is_refused(key: str, user: str, instance: str) -> None:
    """One key, one account, one id: no second line brings another."""
    with pytest.raises(DefinitionInvalid):
        make_seed_files(_define(Release.BOOKWORM), key, instance_id=instance, user=user)


@pytest.mark.parametrize(
    ("release", "needed"),
    [(Release.BOOKWORM, 3), (Release.TRIXIE, 3), (Release.NOBLE, 6), (Release.ALPINE_3_22, 1)],
)
def test_disk_that_would_fill_up_is_refused_at_once(release: Release, needed: int) -> None:
    """A disk below the release's need is told before an installation of many minutes fails on it."""
    _make(release, size=needed * GIB)
    with pytest.raises(DefinitionInvalid, match="too few for an installation") as caught:
        _make(release, size=needed * GIB - (1 << 20))
    assert caught.value.hint == f'write size = "{needed}G" or more'


def test_installed_system_gets_the_account_alone() -> None:
    """A disk that needs no installer is told the machine's name and the build's account by the same documents."""
    installed = _make(Release.BOOKWORM)
    booted = make_boot_seed(_define(Release.BOOKWORM), KEY + "\n", instance_id="imagekit-1")
    assert dict(booted) == {name: installed[name] for name in ("meta-data", "user-data")}
