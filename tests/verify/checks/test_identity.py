"""Identity that is as it should be, on an image and on a machine."""

import shutil
from pathlib import Path

import pytest

from imagekit.disk.directory import Directory
from imagekit.disk.tree import FileTree
from imagekit.report import Severity
from imagekit.verify import Policy, Profile, list_checks, verify_directory
from imagekit.verify.view import View, ViewKind
from tests.verify.checks.seeing import ask, see
from tests.verify.clean_tree import link, remove, replace, write
from tests.verify.dirty.change import MACHINE_ID

CLONE = Policy(profile=Profile.CLONE)
CARD = Policy(profile=Profile.SD_IMAGE)
OTHER_ID = "f" * 32
TIMER = "[Unit]\nDescription=t\n[Install]\nWantedBy=timers.target\n"
SYSTEM = "/usr/lib/systemd/system"


@pytest.mark.parametrize("content", ["", "uninitialized", "uninitialized\n"])
def test_states_without_an_id_are_clean(tree: Path, content: str) -> None:
    """An empty file and the two ways to write ``uninitialized`` give every clone an id of its own."""
    write(tree, "/etc/machine-id", content)
    assert see(tree, "machine-id") == []


@pytest.mark.parametrize("content", ["0123456789ABCDEF0123456789abcdef", MACHINE_ID])
def test_id_belongs_on_a_machine_only(tree: Path, content: str) -> None:
    """32 hex digits in either case fail in a template and are right on a machine that runs."""
    write(tree, "/etc/machine-id", content)
    assert [seen.severity for seen in see(tree, "machine-id")] == [None]
    assert see(tree, "machine-id", CLONE) == []


@pytest.mark.parametrize("content", ["", "uninitialized\n", "text\n", "0" * 32 + "\n"])
def test_machine_needs_an_id_of_its_own(tree: Path, content: str) -> None:
    """On a clone every state but a real id fails."""
    write(tree, "/etc/machine-id", content)
    assert [seen.path for seen in see(tree, "machine-id", CLONE)] == ["/etc/machine-id"]


def test_card_without_a_machine_id_is_clean(tree: Path) -> None:
    """A NixOS card has no /etc before its first boot; an id that is there fails as everywhere."""
    remove(tree, "/etc/machine-id")
    assert see(tree, "machine-id", CARD) == []
    link(tree, "/etc/machine-id", "/run/nowhere")
    assert see(tree, "machine-id", CARD) != []


def test_copy_for_dbus_may_be_a_link(tree: Path) -> None:
    """A relative link to the one file is as good as the absolute one."""
    link(tree, "/var/lib/dbus/machine-id", "../../../etc/machine-id")
    assert see(tree, "dbus-machine-id") == []


def test_wizard_is_quiet_about_a_provisioned_root(tree: Path) -> None:
    """A root account with a password field of its own, or one that is locked, is not asked for."""
    write(tree, "/etc/machine-id", "uninitialized\n")
    assert see(tree, "first-boot-wizard") == []
    replace(tree, "/etc/shadow", "root:*:", "toor:*:")
    assert [seen.path for seen in see(tree, "first-boot-wizard")] == ["/etc/shadow"]
    replace(tree, "/etc/passwd", "root:x:", "root:*:")
    assert see(tree, "first-boot-wizard") == []


def test_presets_need_a_first_boot_and_a_writable_root(tree: Path) -> None:
    """A read-only root, an empty machine-id, a mask and a ``disable`` preset each keep units off."""
    write(tree, f"{SYSTEM}/x.timer", TIMER)
    write(tree, "/etc/machine-id", "uninitialized\n")
    assert see(tree, "first-boot-presets") == []
    replace(tree, "/boot/grub/grub.cfg", " ro ", " ro rw ")
    assert "x.timer" in see(tree, "first-boot-presets")[0].found
    write(tree, "/etc/machine-id", "")
    assert see(tree, "first-boot-presets") == []
    write(tree, "/etc/machine-id", "uninitialized\n")
    link(tree, "/etc/systemd/system/x.timer", "/dev/null")
    assert see(tree, "first-boot-presets") == []
    remove(tree, "/etc/systemd/system/x.timer")
    write(tree, "/usr/lib/systemd/system-preset/50-x.preset", "enable *\n")
    write(tree, "/etc/systemd/system-preset/50-x.preset", "# hides the other\ndisable x.*\nenable *\n")
    assert see(tree, "first-boot-presets") == []


def test_machine_keeps_its_own_journal(tree: Path) -> None:
    """On a clone the directory of its own id is right, and one of another machine is told."""
    write(tree, "/etc/machine-id", MACHINE_ID)
    write(tree, f"/var/log/journal/{MACHINE_ID.strip()}/system.journal")
    write(tree, f"/var/log/journal/{OTHER_ID}/system.journal")
    assert [seen.path for seen in see(tree, "machine-id-traces", CLONE)] == [f"/var/log/journal/{OTHER_ID}"]


def test_loader_partition_is_looked_at_when_nothing_mounts_it(tree: Path, tmp_path: Path) -> None:
    """Traces and a seed on the ESP are found there, and only once where the ESP is seen at its place."""
    esp = tmp_path / "esp"
    for path in (f"{OTHER_ID}/6.1/linux", f"loader/entries/{OTHER_ID}-6.1.conf", "loader/random-seed"):
        write(esp, path)
    with Directory(tree) as root, Directory(esp) as system:
        view = View(ViewKind.DISK, FileTree(root), esp=FileTree(system))
        paths = [seen.path for check in ("machine-id-traces", "random-seed") for seen in ask(view, check)]
    assert paths == [f"ESP:/{OTHER_ID}", f"ESP:/loader/entries/{OTHER_ID}-6.1.conf", "ESP:/loader/random-seed"]
    shutil.copytree(esp, tree / "boot/efi", dirs_exist_ok=True)
    with Directory(tree) as root, Directory(esp) as system:
        view = View(ViewKind.DISK, FileTree(root), esp=FileTree(system))
        paths = [seen.path for check in ("machine-id-traces", "random-seed") for seen in ask(view, check)]
    assert sorted(paths) == [
        f"/boot/efi/{OTHER_ID}",
        f"/boot/efi/loader/entries/{OTHER_ID}-6.1.conf",
        "/boot/efi/loader/random-seed",
    ]


def test_entries_named_by_a_token_are_clean(tree: Path) -> None:
    """A token says how entries are called, and names without an id need none."""
    write(tree, "/boot/loader/entries/debian-6.1.conf", "linux /vmlinuz\n")
    assert see(tree, "entry-token") == []
    write(tree, f"/boot/loader/entries/{OTHER_ID}-6.1.conf", "linux /vmlinuz\n")
    assert [seen.path for seen in see(tree, "entry-token")] == ["/etc/kernel/entry-token"]
    write(tree, "/etc/kernel/entry-token", "debian\n")
    assert see(tree, "entry-token") == []


def test_stock_iscsi_and_nvme_are_clean(tree: Path) -> None:
    """Debian's initiator file makes a name at boot; empty files name nobody."""
    write(tree, "/etc/iscsi/initiatorname.iscsi", "## DO NOT EDIT\nGenerateName=yes\n#InitiatorName=x\n")
    write(tree, "/etc/nvme/hostnqn", "\n")
    write(tree, "/etc/hostid", "")
    assert [see(tree, check) for check in ("iscsi-initiator", "nvme-hostid", "hostid")] == [[], [], []]


@pytest.mark.parametrize("content", ["", "localhost.localdomain\n", "debian\n", "# a comment\n\nubuntu\n"])
def test_neutral_names_are_clean(tree: Path, content: str) -> None:
    """Distributions' own names and comments name no machine."""
    write(tree, "/etc/hostname", content)
    assert see(tree, "hostname") == []


def test_stock_hosts_are_clean(tree: Path) -> None:
    """Loopback names, the IPv6 groups, neutral names and blocked names say nothing about the build."""
    write(
        tree,
        "/etc/hosts",
        "127.0.0.1\tlocalhost localhost4\n127.0.1.1 debian\n::1 localhost ip6-localhost\nfe00::0 ip6-localnet\n"
        "ff00::0 ip6-mcastprefix\nff02::1 ip6-allnodes\nff02::3 ip6-allhosts\n0.0.0.0 ads.example\n"
        "# 192.0.2.1 x\n192.0.2.2\n",
    )
    assert see(tree, "hosts-file") == []


def test_machine_may_know_its_neighbours(tree: Path) -> None:
    """On a clone fixed addresses are normal, and so is its own name with and without domain."""
    write(tree, "/etc/hostname", "web1\n")
    write(tree, "/etc/hosts", "127.0.1.1 web1.lan.example web1\n192.0.2.1 db.example\n")
    assert see(tree, "hosts-file", CLONE) == []
    assert len(see(tree, "hosts-file")) == 2


@pytest.mark.parametrize("line", ["IMAGE_ID=template\n", 'IMAGE_VERSION="7"\n'])
def test_stamp_in_os_release_is_enough(tree: Path, line: str) -> None:
    """Either field says which image it is; an empty one does not."""
    remove(tree, "/etc/cloud/build.info")
    write(tree, "/usr/lib/os-release", f"ID=debian\n{line}")
    assert see(tree, "image-stamp") == []
    write(tree, "/usr/lib/os-release", "ID=debian\nIMAGE_ID=\nIMAGE_VERSION=''\n")
    assert see(tree, "image-stamp") != []


def test_card_is_asked_about_identity(tree: Path) -> None:
    """Seeds and keys must not be on a card either; names and cloud-init are not asked about."""
    ids = {check.id for check in list_checks("sd-image")}
    assert ids >= {"machine-id", "random-seed", "credential-secret", "ssh-host-keys", "private-keys", "known-hosts"}
    assert not ids & {"hostname", "cloud-init-installed", "cloud-init-state", "sshd-config-valid"}
    write(tree, "/var/lib/systemd/random-seed", "x")
    found = {finding.check: finding.severity for finding in verify_directory(tree, CARD).findings}
    assert found["random-seed"] is Severity.WARN
