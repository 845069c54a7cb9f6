"""State of a machine that ran: what a clean template legitimately has."""

from pathlib import Path

import pytest

from imagekit.report import Severity
from imagekit.verify import Policy, Profile, verify_directory
from tests.verify.clean_tree import append, link, write
from tests.verify.dirty.state import CORE, MAIL

OURS = {"mail-spool", "cron-spool", "crash-data", "dhcp-leases", "dhcp-duid", "nm-secret-key"}


@pytest.mark.parametrize(
    ("path", "content"),
    [
        ("/var/mail/root", ""),
        ("/var/spool/postfix/etc/resolv.conf", "nameserver 192.0.2.1\n"),
        ("/var/spool/postfix/pid/master.pid", "1\n"),
        ("/var/spool/cron/atjobs/.SEQ", "00001\n"),
        ("/var/spool/cron/crontabs/root", "# m h dom mon dow command\n\n"),
        ("/var/crash/kexec_cmd", "/sbin/kexec\n"),
        ("/var/crash/.lock", "x"),
        ("/root/core.txt", "the core of the matter\n"),
        ("/root/core", b"\x7fELF\x02\x01\x01" + bytes(9) + b"\x03\x00" + bytes(100)),
        ("/var/lib/dhcp/dhclient.leases", ""),
        ("/var/lib/NetworkManager/NetworkManager.state", "[main]\nNetworkingEnabled=true\n"),
        ("/var/lib/NetworkManager/secret_key", ""),
        (
            "/etc/dhcp/dhclient.conf",
            "#send dhcp-client-identifier 1:0:a0:24:ab:fb:9c;\nsend host-name = gethostname();\n",
        ),
        ("/etc/dhcp/dhclient.conf", "send dhcp-client-identifier = hardware;\n"),
        ("/etc/dhcpcd.conf", "hostname\n#clientid\nduid\npersistent\noption rapid_commit\n"),
        ("/etc/dhcpcd.conf", "clientid\nduid ll\n"),
        ("/etc/systemd/networkd.conf", "[DHCPv4]\n#DUIDRawData=\nDUIDType=vendor\nDUIDRawData=\n"),
        ("/etc/NetworkManager/conf.d/a.conf", "[connection]\nipv4.dhcp-client-id=mac\ndhcp-client-id=stable\n"),
        ("/etc/netplan/a.yaml", "network: {ethernets: {a: {match: {name: 'en*'}, dhcp-identifier: mac}}}\n"),
    ],
)
def test_innocent_state_passes(tree: Path, path: str, content: str | bytes) -> None:
    """Empty files, package defaults, counters and identifiers that the clone works out itself are clean."""
    write(tree, path, content)
    assert {each.check for each in verify_directory(tree).findings} & OURS == set()


def test_mailbox_behind_two_names_is_one_finding(tree: Path) -> None:
    """/var/spool/mail is a link to /var/mail on Debian."""
    write(tree, "/var/mail/root", MAIL)
    link(tree, "/var/spool/mail", "../mail")
    assert [finding.path for finding in verify_directory(tree).findings] == ["/var/mail/root"]


def test_big_endian_core_is_one(tree: Path) -> None:
    """The header names its byte order."""
    write(tree, "/core", b"\x7fELF\x02\x02\x01" + bytes(9) + b"\x00\x04" + CORE[18:])
    assert [finding.check for finding in verify_directory(tree).findings] == ["crash-data"]


def test_crontab_of_an_allowed_user_is_meant(tree: Path) -> None:
    """A user of the definition may bring jobs."""
    append(tree, "/etc/passwd", "ops:x:1000:1000::/home/ops:/bin/bash\n")
    write(tree, "/home/ops/.config/systemd/user/a.timer", "[Timer]\n")
    write(tree, "/var/spool/cron/crontabs/ops", "@daily x\n")
    assert verify_directory(tree, Policy(allow_users=("ops",))).findings == ()


def test_lease_with_duid_is_the_graver_finding_only(tree: Path) -> None:
    """A lease file that also holds the DUID is reported once."""
    write(tree, "/var/lib/dhcp/dhclient6.leases", 'default-duid "\\001";\nlease6 {\n}\n')
    assert [(each.check, each.severity) for each in verify_directory(tree).findings] == [("dhcp-duid", Severity.FAIL)]


def test_card_without_accounts_is_looked_at(tree: Path) -> None:
    """A DUID on a card is found though its accounts are made at first boot."""
    (tree / "etc/passwd").unlink()
    write(tree, "/var/lib/dhcpcd/duid", "00:01\n")
    report = verify_directory(tree, Policy(profile=Profile.SD_IMAGE))
    assert "dhcp-duid" in {finding.check for finding in report.findings}


def test_running_machine_has_leases(tree: Path) -> None:
    """On a clone leases, mail and crontabs are life."""
    write(tree, "/var/lib/dhcp/dhclient.leases", "lease {\n}\n")
    write(tree, "/var/mail/root", MAIL)
    assert not {each.check for each in verify_directory(tree, Policy(profile=Profile.CLONE)).findings} & OURS
