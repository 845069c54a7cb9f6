"""Dirt that running once leaves behind."""

import struct

from tests.verify.dirty.change import FAIL, WARN, Dirt, all_of, wrote

MAIL = "From build@h.example\nSubject: canary\n\ntext\n"
CORE = b"\x7fELF\x02\x01\x01" + bytes(9) + struct.pack("<H", 4) + bytes(4000)
_NM = "/var/lib/NetworkManager"

DIRT = (
    Dirt("mail-spool", "mailbox", WARN, "/var/mail/root", wrote("/var/mail/root", MAIL)),
    Dirt("mail-spool", "spool", WARN, "/var/spool/mail/x", wrote("/var/spool/mail/x", MAIL)),
    Dirt("mail-spool", "postfix", WARN, "deferred", wrote("/var/spool/postfix/deferred/A/AB12", MAIL)),
    Dirt("mail-spool", "exim", WARN, "exim4", wrote("/var/spool/exim4/input/1a-D", MAIL)),
    Dirt("mail-spool", "dead", WARN, "dead.letter", wrote("/root/dead.letter", MAIL)),
    Dirt("cron-spool", "crontab", WARN, "crontabs/root", wrote("/var/spool/cron/crontabs/root", "@daily /x\n")),
    Dirt("cron-spool", "at", WARN, "atjobs", wrote("/var/spool/cron/atjobs/a0001", "#!/bin/sh\n/x\n")),
    Dirt(
        "cron-spool",
        "unit",
        WARN,
        "job.timer",
        wrote("/home/old/.config/systemd/user/job.timer", "[Timer]\nOnBootSec=1\n"),
    ),
    Dirt("crash-data", "crash", WARN, "/var/crash/a.crash", wrote("/var/crash/a.crash", b"\1" * 4096)),
    Dirt("crash-data", "coredump", WARN, "coredump", wrote("/var/lib/systemd/coredump/core.x.zst", b"\1" * 64)),
    Dirt("crash-data", "pstore", WARN, "pstore", wrote("/var/lib/systemd/pstore/1/dmesg.txt", "oops\n")),
    Dirt("crash-data", "core", WARN, "/root/core.123", wrote("/root/core.123", CORE)),
    Dirt("dhcp-leases", "dhclient", WARN, "leases", wrote("/var/lib/dhcp/dhclient.eth0.leases", "lease {\n}\n")),
    Dirt("dhcp-leases", "dhcpcd", WARN, "eth0.lease", wrote("/var/lib/dhcpcd/eth0.lease", b"\1\2")),
    Dirt("dhcp-leases", "nm", WARN, "seen-bssids", wrote(f"{_NM}/seen-bssids", "[seen-bssids]\na=b\n")),
    Dirt("dhcp-duid", "dhcpcd", FAIL, "/var/lib/dhcpcd/duid", wrote("/var/lib/dhcpcd/duid", "00:01:00:01\n")),
    Dirt("dhcp-duid", "lease", FAIL, "d6.leases", wrote("/var/lib/dhcp/d6.leases", 'default-duid "\\000\\001";\n')),
    Dirt(
        "dhcp-duid",
        "networkd",
        FAIL,
        "networkd.conf",
        wrote("/etc/systemd/networkd.conf", "[DHCPv4]\nDUIDType=vendor\nDUIDRawData=00:11:22\n"),
    ),
    Dirt(
        "dhcp-duid",
        "dhclient",
        FAIL,
        "dhclient.conf",
        wrote("/etc/dhcp/dhclient.conf", "send dhcp-client-identifier 1:0:a0:24:ab:fb:9c;\n"),
    ),
    Dirt("dhcp-duid", "clientid", FAIL, "dhcpcd.conf", wrote("/etc/dhcpcd.conf", "clientid 01:02:03\n")),
    Dirt(
        "dhcp-duid",
        "nm",
        FAIL,
        "id.conf",
        wrote("/etc/NetworkManager/conf.d/id.conf", "[connection]\nipv4.dhcp-client-id=x\ndhcp-client-id=01:02\n"),
    ),
    Dirt("nm-secret-key", "key", WARN, "secret_key", wrote(f"{_NM}/secret_key", b"\7" * 32)),
    Dirt(
        "nm-secret-key", "with-state", WARN, "secret_key",
        all_of(wrote(f"{_NM}/secret_key", b"nm-v2:\7"), wrote(f"{_NM}/NetworkManager.state", "[main]\n")),
    ),
)  # fmt: skip

KIN = {"cron-spool": {"build-user"}}
