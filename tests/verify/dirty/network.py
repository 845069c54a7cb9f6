"""Dirt about network, boot files and agent."""

from collections.abc import Callable
from pathlib import Path

from tests.verify.clean_tree import KERNEL
from tests.verify.dirty.change import CFG, FAIL, SYSTEM, WARN, Dirt, all_of, linked, removed, swapped, wrote

_LINKED = f"{SYSTEM}/network-online.target.wants/systemd-networkd-wait-online.service"
_WAIT_UNIT = "/usr/lib/systemd/system/systemd-networkd-wait-online.service"
CLOUD_NETWORK_OFF = wrote(f"{CFG}/zz-net.cfg", "network: {config: disabled}\n")


def enable(unit: str) -> Callable[[Path], None]:
    """Return a change that installs a unit and makes boot start it."""
    return all_of(
        wrote(f"/usr/lib/systemd/system/{unit}", "[Service]\nExecStart=/usr/bin/true\n[Install]\nWantedBy=a.target\n"),
        linked(f"{SYSTEM}/multi-user.target.wants/{unit}", f"/usr/lib/systemd/system/{unit}"),
    )


DIRT = (
    Dirt(
        "udev-net-rules",
        "rules",
        FAIL,
        "70-persistent",
        wrote("/etc/udev/rules.d/70-persistent-net.rules", 'ATTR{address}=="aa:bb:cc:dd:ee:ff", NAME="eth0"\n'),
    ),
    Dirt(
        "udev-net-rules",
        "link",
        FAIL,
        "10-lan.link",
        wrote("/etc/systemd/network/10-lan.link", "[Match]\nMACAddress=aa:bb:cc:dd:ee:ff\n[Link]\nName=lan0\n"),
    ),
    Dirt(
        "udev-net-rules",
        "name",
        WARN,
        "10-lan.link",
        wrote("/etc/systemd/network/10-lan.link", "[Match]\nOriginalName=ens18\n[Link]\nName=lan0\n"),
    ),
    Dirt(
        "net-generated",
        "cloud-init",
        WARN,
        "50-cloud-init.yaml",
        wrote("/etc/netplan/50-cloud-init.yaml", "network: {ethernets: {all: {match: {name: 'en*'}, dhcp4: true}}}\n"),
    ),
    Dirt(
        "net-generated",
        "installer",
        WARN,
        "net.yaml",
        wrote("/etc/netplan/net.yaml", "# This is the network config written by 'subiquity'\nnetwork: {version: 2}\n"),
    ),
    Dirt(
        "net-generated",
        "debian",
        WARN,
        "50-cloud-init",
        wrote(
            "/etc/network/interfaces.d/50-cloud-init",
            "# This file is generated from information provided by the datasource.\n",
        ),
    ),
    Dirt(
        "net-generated",
        "networkd",
        WARN,
        "10-cloud-init",
        wrote("/etc/systemd/network/10-cloud-init-x.network", "[Match]\nName=en*\n[Network]\nDHCP=yes\n"),
    ),
    Dirt(
        "net-generated",
        "networkmanager",
        WARN,
        "99-cloud-init.conf",
        wrote("/etc/NetworkManager/conf.d/99-cloud-init.conf", "[main]\ndns = none\n"),
    ),
    Dirt(
        "net-none",
        "no-file",
        FAIL,
        "/etc",
        all_of(CLOUD_NETWORK_OFF, removed("/etc/systemd/network/80-dhcp.network")),
    ),
    Dirt(
        "net-none",
        "not-started",
        FAIL,
        "/etc",
        all_of(CLOUD_NETWORK_OFF, removed(f"{SYSTEM}/multi-user.target.wants/systemd-networkd.service")),
    ),
    Dirt(
        "wait-online",
        "nothing",
        WARN,
        "network-online.target.wants",
        all_of(
            CLOUD_NETWORK_OFF,
            removed("/etc/systemd/network/80-dhcp.network"),
            wrote(_WAIT_UNIT, "[Service]\nExecStart=/usr/lib/systemd/systemd-networkd-wait-online\n"),
            linked(_LINKED, _WAIT_UNIT),
        ),
    ),
    Dirt(
        "firewall-ssh",
        "nftables",
        WARN,
        "nftables.conf",
        all_of(
            enable("nftables.service"),
            wrote(
                "/etc/nftables.conf",
                "table inet filter {\n chain input {\n  type filter hook input priority filter; policy drop;\n"
                "  ct state established accept\n  iif lo accept\n  tcp dport { 80, 443 } accept # 22\n }\n}\n",
            ),
        ),
    ),
    Dirt(
        "firewall-ssh",
        "ufw",
        WARN,
        "user.rules",
        all_of(
            enable("ufw.service"),
            wrote("/etc/ufw/ufw.conf", "ENABLED=yes\n"),
            wrote("/etc/ufw/user.rules", "*filter\n-A ufw-user-input -p tcp --dport 80 -j ACCEPT\nCOMMIT\n"),
        ),
    ),
    Dirt(
        "firewall-ssh",
        "firewalld",
        WARN,
        "public.xml",
        all_of(
            enable("firewalld.service"),
            wrote("/etc/firewalld/zones/public.xml", '<zone><service name="cockpit"/></zone>\n'),
        ),
    ),
    Dirt(
        "firewall-ssh",
        "iptables",
        WARN,
        "rules.v4",
        all_of(
            enable("netfilter-persistent.service"),
            wrote("/etc/iptables/rules.v4", "*filter\n:INPUT DROP [0:0]\n-A INPUT -i lo -j ACCEPT\nCOMMIT\n"),
        ),
    ),
    Dirt(
        "net-bound",
        "mac",
        FAIL,
        "netplan",
        wrote(
            "/etc/netplan/50.yaml",
            "network: {ethernets: {a: {match: {macaddress: 'aa:bb:cc:dd:ee:ff'}, dhcp4: true}}}\n",
        ),
    ),
    Dirt(
        "net-bound",
        "name",
        WARN,
        "netplan",
        wrote("/etc/netplan/00-installer-config.yaml", "network: {version: 2, ethernets: {ens18: {dhcp4: true}}}\n"),
    ),
    Dirt(
        "net-bound",
        "networkd",
        FAIL,
        "10.network",
        wrote(
            "/etc/systemd/network/10.network", "[Match]\nName=en*\n[Network]\nAddress=192.0.2.5/24\nGateway=192.0.2.1\n"
        ),
    ),
    Dirt(
        "net-bound",
        "interfaces",
        FAIL,
        "interfaces",
        wrote(
            "/etc/network/interfaces",
            "auto lo\niface lo inet loopback\niface ens3 inet static\n  address 192.0.2.7/24\n",
        ),
    ),
    Dirt(
        "net-bound", "dhcp", WARN, "interfaces", wrote("/etc/network/interfaces", "auto ens3\niface ens3 inet dhcp\n")
    ),
    Dirt(
        "net-bound",
        "keyfile",
        FAIL,
        "a.nmconnection",
        wrote("/etc/NetworkManager/system-connections/a.nmconnection", "[ethernet]\nmac-address=AA:BB:CC:DD:EE:FF\n"),
    ),
    Dirt(
        "net-bound",
        "ifcfg",
        FAIL,
        "ifcfg",
        wrote("/etc/sysconfig/network-scripts/ifcfg-e", "DEVICE=ens3\nHWADDR=aa:bb:cc:dd:ee:ff\n"),
    ),
    Dirt(
        "net-renderer",
        "disabled",
        FAIL,
        "system",
        removed(f"{SYSTEM}/multi-user.target.wants/systemd-networkd.service"),
    ),
    Dirt("net-renderer", "absent", FAIL, "cloud.cfg", removed("/usr/lib/systemd/system/systemd-networkd.service")),
    Dirt("net-renderer", "wrong", WARN, "cloud.cfg", wrote("/usr/sbin/ifup", "program")),
    Dirt(
        "resolv-conf",
        "file",
        WARN,
        "resolv.conf",
        all_of(removed("/etc/resolv.conf"), wrote("/etc/resolv.conf", "nameserver 192.0.2.1\n")),
    ),
    Dirt(
        "resolv-conf",
        "search",
        WARN,
        "resolv.conf",
        all_of(removed("/etc/resolv.conf"), wrote("/etc/resolv.conf", "search build.example\n")),
    ),
    Dirt("kernel-files", "initrd", FAIL, "initrd", removed(f"/boot/initrd.img-{KERNEL}")),
    Dirt("kernel-files", "empty", FAIL, "vmlinuz", wrote(f"/boot/vmlinuz-{KERNEL}")),
    Dirt("kernel-files", "modules", FAIL, "modules.dep", removed(f"/usr/lib/modules/{KERNEL}/modules.dep")),
    Dirt("serial-console", "absent", WARN, "grub.cfg", swapped("/boot/grub/grub.cfg", " console=ttyS0,115200", "")),
    Dirt("qemu-guest-agent", "mask", FAIL, "agent", linked(f"{SYSTEM}/qemu-guest-agent.service", "/dev/null")),
    Dirt("qemu-guest-agent", "missing", FAIL, "qemu-ga", removed("/usr/sbin/qemu-ga")),
    Dirt("qemu-guest-agent", "unwired", FAIL, "agent", removed("/usr/lib/udev/rules.d/60-qemu-guest-agent.rules")),
    Dirt(
        "qemu-guest-agent",
        "filter",
        WARN,
        "sysconfig",
        wrote("/etc/sysconfig/qemu-ga", "BLACKLIST_RPC=guest-exec,guest-file-open\n"),
    ),
)

KIN = {
    "net-none": {"cloud-init-network-disabled", "net-renderer"},
    "wait-online": {"cloud-init-network-disabled", "net-none"},
}
