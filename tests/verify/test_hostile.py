"""Whatever a file of an image holds, verification ends with a report."""

import random
import shutil
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from imagekit.errors import VerificationFailed
from imagekit.verify import Subject, list_checks, verify_directory, verify_disk
from imagekit.verify.formats.document import render_json
from imagekit.verify.formats.junit import render_junit
from imagekit.verify.formats.text import render_text
from tests.verify.clean_tree import ESP_OFFSET, ROOT_OFFSET, write
from tests.verify.test_run import count_everything

FILES = (
    "/etc/passwd", "/etc/shadow", "/etc/group", "/etc/sudoers", "/etc/ssh/sshd_config", "/etc/cloud/cloud.cfg",
    "/etc/cloud/cloud.cfg.d/90_dpkg.cfg", "/etc/cloud/ds-identify.cfg", "/etc/fstab", "/etc/crypttab",
    "/boot/grub/grub.cfg", "/etc/default/grub", "/etc/kernel/cmdline", "/etc/apt/sources.list",
    "/etc/apt/apt.conf.d/70debconf", "/etc/apt/sources.list.d/x.sources", "/etc/netplan/a.yaml",
    "/etc/systemd/network/80-dhcp.network", "/etc/network/interfaces", "/etc/sysconfig/network-scripts/ifcfg-e",
    "/root/.bash_history", "/root/.ssh/authorized_keys", "/etc/machine-id", "/etc/hostname", "/usr/lib/os-release",
    "/etc/systemd/system/ssh.service.d/a.conf", "/var/lib/dpkg/status", "/var/lib/dpkg/diversions", "/etc/adjtime",
    "/etc/apt/preferences", "/etc/dnf/dnf.conf", "/etc/dnf/versionlock.toml", "/var/lib/snapd/state.json",
    "/etc/mailname", "/etc/postfix/main.cf", "/etc/exim4/update-exim4.conf.conf",
    "/usr/local/share/ca-certificates/a.crt", "/etc/hosts", "/etc/machine-info", "/etc/iscsi/initiatorname.iscsi",
    "/etc/cloud/clean.d/a", "/var/log/cloud-init.log", "/usr/lib/systemd/system-preset/a.preset",
    "/boot/loader/entries/a.conf", "/root/.ssh/known_hosts", "/etc/kernel/entry-token",
    "/etc/nftables.conf", "/etc/doas.conf", "/etc/shadow-", "/var/backups/shadow.bak.gz", "/etc/gshadow",
    "/etc/systemd/network/a.link", "/etc/udev/rules.d/70-persistent-net.rules", "/etc/dhcp/dhclient.conf",
    "/var/lib/dhcp/a.leases", "/etc/openvpn/a.conf", "/etc/ppp/pap-secrets", "/root/.docker/config.json",
    "/srv/a/.git/config", "/opt/a.txt", "/preseed.cfg", "/root/core", "/var/spool/cron/crontabs/root",
)  # fmt: skip
WORDS = (
    "root", ":", "x", "\n", " ", "=", "{", "}", "[", "]", '"', "'", "\\", "#", "*", "&a ", "*a", "- ", "Match",
    "Include", "/etc/ssh/sshd_config", "linux ", "initrd ", "search ", "UUID=", "deb ", "NOPASSWD:", "ALL", "0",
    "$6$aa$bbbbbbbbb", "network:", "datasource_list:", "growpart:", "ethernets", "Address", "iface ",
    "users:", "system_info:", "default_user:", "chpasswd:", "127.0.1.1 ", "rm -f /etc/", "password: ", "disable ",
    "\0", "\x1b[2J", "\u202e", "é",
)  # fmt: skip
TEXT = st.lists(st.sampled_from(WORDS) | st.text(max_size=4), max_size=40)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(path=st.sampled_from(FILES), words=TEXT, keep=st.booleans())
def test_any_text_ends_in_a_report(clean_tree: Path, tmp_path: Path, path: str, words: list[str], keep: bool) -> None:
    """Random text in any file that is parsed gives a report that counts every check and can be shown."""
    root = tmp_path / "tree"
    if not root.exists():
        shutil.copytree(clean_tree, root, symlinks=True)
    place = root / path.lstrip("/")
    before = place.read_bytes() if place.exists() else None
    text = "".join(words).encode("utf-8", "replace")
    write(root, path, (before or b"") + text if keep else text)
    try:
        report = verify_directory(root)
        assert count_everything(report) >= {
            check.id for check in list_checks("template") if check.subject is not Subject.VM_CONFIG
        }
        shown = render_text(report) + render_junit(report) + repr(render_json(report))
        assert not {"\0", "\x1b", "\u202e"} & set(shown)
    finally:
        place.unlink() if before is None else place.write_bytes(before)


@pytest.mark.parametrize("seed", range(6))
def test_damaged_disk_ends_in_a_report_or_an_error(disk: Path, seed: int) -> None:
    """Random bytes in the table, the superblock or the metadata never give a traceback of another kind."""
    generator = random.Random(seed)
    with disk.open("r+b") as file:
        for _ in range(40):
            place = generator.choice((512, 1024, ESP_OFFSET, ROOT_OFFSET + 1024, ROOT_OFFSET + 2048))
            file.seek(place + generator.randrange(4096))
            file.write(generator.randbytes(1))
    sentence, counted = "", set()
    try:
        counted = count_everything(verify_disk(disk))
    except VerificationFailed as problem:  # a sentence for the operator is as good as a report
        sentence = problem.message
    assert sentence or counted >= {
        check.id for check in list_checks("template") if check.subject is not Subject.VM_CONFIG
    }


@pytest.mark.parametrize(
    ("path", "unit"),
    [
        ("/etc/sudoers", "a ALL=(ALL) NOPASSWD:ALL\n"),
        ("/etc/ssh/sshd_config", "Match User b\nPasswordAuthentication yes\n"),
        ("/etc/apt/apt.conf.d/x", "{"),
        ("/etc/apt/sources.list", "deb http://a b\n"),
        ("/boot/grub/grub.cfg", "linux /a b\n"),
        ("/etc/passwd", "a:x:1000:0:::\n"),
        ("/etc/cloud/cloud.cfg", "["),
        ("/root/.bash_history", "password "),
    ],
)
def test_large_file_ends_soon(tree: Path, path: str, unit: str) -> None:
    """A mebibyte of one thing costs seconds, not hours: every pattern is linear."""
    write(tree, path, unit * ((1 << 20) // len(unit)))
    begun = time.monotonic()
    assert count_everything(verify_directory(tree))
    assert time.monotonic() - begun < 20
