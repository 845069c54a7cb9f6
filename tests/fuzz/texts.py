"""Configuration files to begin with: those of the clean template, and one of each dialect that it does not have."""

import json

from tests.fuzz.verify_targets import (
    ACCOUNTS,
    BOOT,
    CLOUD,
    FIREWALL,
    NETWORK,
    PACKAGES,
    SEPARATOR,
    SSHD,
    SUDO,
    SYSTEM,
)
from tests.verify import clean_tree

_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGJhZGJhZGJhZGJhZGJhZGJhZGJhZGJhZGJhZGJh somebody@host.example"
_TEXTS = {
    "/etc/ssh/sshd_config.d/a.conf": "Match User a,!b Address 10.0.0.0/8\n  PasswordAuthentication yes\nPort 2222\n",
    "/etc/sudoers": "Defaults env_reset\n%sudo ALL=(ALL:ALL) ALL\n@includedir /etc/sudoers.d\n",
    "/etc/sudoers.d/90-cloud-init-users": "debian ALL=(ALL) NOPASSWD:ALL\nUser_Alias A = a, \\\n b\n",
    "/etc/cloud/ds-identify.cfg": "policy: search,found=all,maybe=none,notfound=disabled\ndatasource: NoCloud\n",
    "/etc/cloud/clean.d/hook": "#!/bin/sh\nrm -f /etc/netplan/50-cloud-init.yaml /var/lib/x/*\n",
    "/boot/loader/entries/a.conf": "title A\nversion 6.1\nlinux /vmlinuz\ninitrd /initrd\noptions root=UUID=1 ro\n",
    "/boot/grub/grubenv": "# GRUB Environment Block\nsaved_entry=0\nkernelopts=root=/dev/sda1 ro\n####\n",
    "/etc/kernel/cmdline": "root=LABEL=root quiet\n",
    "/boot/loader/loader.conf": "default a*\ntimeout 3\n",
    "/root/.profile": "export TOKEN=abcdefgh\nmesg n\n",
    "/root/.ssh/authorized_keys": f'command="/bin/x",no-pty {_KEY}\n',
    "/etc/netplan/a.yaml": (
        "network:\n  version: 2\n  ethernets:\n    any:\n      match: {macaddress: '52:54:00:00:00:01'}\n"
        "      set-name: eth0\n      dhcp4: true\n  wifis:\n    w:\n      access-points: {home: {password: secret}}\n"
    ),
    "/etc/systemd/network/a.network": "[Match]\nName=en*\nMACAddress=52:54:00:00:00:01\n[Network]\nDHCP=yes\n",
    "/etc/systemd/network/a.link": "[Match]\nPermanentMACAddress=52:54:00:00:00:01\n[Link]\nName=lan0\n",
    "/etc/NetworkManager/system-connections/a.nmconnection": (
        "[connection]\nid=a\ntype=ethernet\nuuid=1\n[ethernet]\nmac-address=52:54:00:00:00:01\n[ipv4]\nmethod=auto\n"
    ),
    "/etc/sysconfig/network-scripts/ifcfg-eth0": "DEVICE=eth0\nHWADDR=52:54:00:00:00:01\nBOOTPROTO=dhcp\n",
    "/etc/network/interfaces": "auto eth0\niface eth0 inet static\n address 192.0.2.1/24\nsource interfaces.d/*\n",
    "/etc/udev/rules.d/70-persistent-net.rules": 'SUBSYSTEM=="net", ATTR{address}=="52:54:00:00:00:01", NAME="eth0"\n',
    "/var/lib/dhcp/dhclient.eth0.leases": 'lease {\n  interface "eth0";\n  option dhcp-client-identifier 1;\n}\n',
    "/etc/wpa_supplicant/wpa_supplicant.conf": 'network={\n ssid="a"\n psk="secret secret"\n}\n',
    "/etc/ppp/pap-secrets": '"user" * "secret" *\n',
    "/etc/openvpn/a.conf": "remote vpn.example 1194\nauth-user-pass /etc/openvpn/a.txt\n<key>\nabc\n</key>\n",
    "/etc/nftables.conf": (
        "table inet filter {\n chain input {\n  type filter hook input priority 0; policy drop;\n"
        '  tcp dport { 22, 80-90 } accept\n }\n}\ninclude "/etc/nftables.d/*.nft"\n'
    ),
    "/etc/ufw/ufw.conf": "ENABLED=yes\n",
    "/etc/ufw/user.rules": "*filter\n-A ufw-user-input -p tcp --dport 22 -j ACCEPT\nCOMMIT\n",
    "/etc/iptables/rules.v4": "*filter\n:INPUT DROP [0:0]\n-A INPUT -p tcp -m multiport --dports 22,80 -j ACCEPT\n",
    "/etc/firewalld/firewalld.conf": "DefaultZone=public\n",
    "/etc/firewalld/zones/public.xml": '<?xml version="1.0"?><zone><service name="ssh"/><port port="22"/></zone>',
    "/etc/apt/sources.list.d/a.sources": "Types: deb deb-src\nURIs: http://a.example/\nSuites: s\nComponents: main\n",
    "/etc/apt/preferences": "Package: *\nPin: release a=stable\nPin-Priority: 1001\n",
    "/etc/dnf/dnf.conf": "[main]\nexclude=kernel* a\ngpgcheck=0\n",
    "/etc/dnf/versionlock.toml": 'version = "1.0"\n[[packages]]\nname = "a"\n[[packages.conditions]]\nkey = "evr"\n',
    "/usr/lib/systemd/system/a.service": "[Unit]\nAfter=b\n[Service]\nExecStart=/bin/a\n[Install]\nWantedBy=c.target\n",
    "/etc/systemd/system/a.service.d/x.conf": "[Service]\nExecStart=\n",
    "/usr/lib/systemd/system-preset/a.preset": "enable a.service\ndisable *\n",
    "/etc/mdadm/mdadm.conf": "ARRAY /dev/md0 metadata=1.2 UUID=0:0:0:0\n",
}


def join_files(paths: tuple[str, ...]) -> bytes:
    """Return one input for a target that cuts it into the files at ``paths``."""
    contents = [clean_tree.FILES.get(path, _TEXTS.get(path, "")) for path in paths]
    return SEPARATOR.join(each if isinstance(each, bytes) else each.encode() for each in contents)


def _join_texts(paths: tuple[str, ...]) -> bytes:
    return SEPARATOR.join(_TEXTS.get(path, "").encode() for path in paths)


TEXTS: dict[str, tuple[bytes, ...]] = {
    "sshd": (join_files(SSHD),),
    "sudo": (join_files(SUDO), _join_texts(SUDO)),
    "cloud_config": (join_files(CLOUD), _TEXTS["/etc/netplan/a.yaml"].encode(), b"a: &a [1]\nb: {<<: *a, c: *a}\n"),
    "boot": (join_files(BOOT), _join_texts(BOOT)),
    "accounts": (join_files(ACCOUNTS),),
    "network": (join_files(NETWORK),),
    "firewall": (join_files(FIREWALL),),
    "apt": (join_files(PACKAGES),),
    "system": (join_files(SYSTEM),),
    "dpkg": (str(clean_tree.FILES["/var/lib/dpkg/status"]).encode(),),
    "apk": (b"C:Q1=\nP:musl\nV:1.2.5-r0\nA:x86_64\nF:lib\nR:a\n\nP:b\nV:1\nA:noarch\n\n",),
    "secrets": (
        b"password: hunter22\nAKIAIOSFODNN7EXAMPLE ghp_" + b"a" * 36,
        b"-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaA==\n-----END OPENSSH PRIVATE KEY-----\n",
        b"root:$6$salt$" + b"x" * 86 + b":1::::::\nhttps://user:secret@host.example/\neyJhbGciOi.eyJzdWIi.c2ln\n",
    ),
    "vm_config": (
        json.dumps(
            {
                "data": {
                    "bios": "ovmf", "boot": "order=scsi0;ide2", "memory": "2048", "scsihw": "virtio-scsi-pci",
                    "scsi0": "local:base-9000-disk-0,discard=on", "ide2": "local:vm-9000-cloudinit,media=cdrom",
                    "net0": "virtio=BC:24:11:00:00:01,bridge=vmbr0", "template": 1, "agent": "enabled=1",
                }
            }
        ).encode(),
    ),
    "ssh_answer": (
        b'{"uid":0,"mounts":[["/","ext4"]],"listings":[],"lookups":[],"contents":[]}\n',
    ),
}  # fmt: skip
