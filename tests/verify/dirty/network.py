"""Dirt about network, boot files and agent."""

from tests.verify.clean_tree import KERNEL
from tests.verify.dirty.change import FAIL, SYSTEM, WARN, Dirt, all_of, linked, removed, swapped, wrote

DIRT = (
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
        "net-bound",
        "rules",
        FAIL,
        "70-persistent",
        wrote("/etc/udev/rules.d/70-persistent-net.rules", 'ATTR{address}=="aa:bb:cc:dd:ee:ff", NAME="eth0"\n'),
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
