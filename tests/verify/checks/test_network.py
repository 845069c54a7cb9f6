"""Network: what stock images have, firewalls that let SSH in, and configuration that some service reads."""

from pathlib import Path

import pytest

from imagekit.build.render import render_template
from imagekit.report import Severity
from imagekit.verify import verify_directory
from tests.verify.clean_tree import link, remove, write
from tests.verify.dirty.change import SYSTEM
from tests.verify.dirty.network import CLOUD_NETWORK_OFF, enable

_NFT = "table inet filter {{\n chain input {{\n  type filter hook input priority 0; policy drop;\n  {0}\n }}\n}}\n"


def checks_of(tree: Path) -> set[str]:
    """Return the ids that have findings."""
    return {finding.check for finding in verify_directory(tree).findings}


@pytest.mark.parametrize("node_exporter", [True, False])
def test_own_hardening_lets_ssh_in(tree: Path, node_exporter: bool) -> None:
    """The rules that imagekit's hardening writes pass, and fail without their line for SSH."""
    enable("nftables.service")(tree)
    rules = render_template("hardening-nftables.conf", node_exporter=node_exporter)
    write(tree, "/etc/nftables.conf", rules)
    assert checks_of(tree) == set()
    write(tree, "/etc/nftables.conf", rules.replace("tcp dport 22 accept", ""))
    assert checks_of(tree) == {"firewall-ssh"}


@pytest.mark.parametrize(
    "rule",
    [
        "tcp dport ssh accept",
        "tcp dport { http, 20-25 } ct state new counter accept",
        "tcp dport { 80, 22 } limit rate 15/minute accept",
        "ip saddr 192.0.2.0/24 accept",
        'iifname "eth0" accept',
        "tcp dport vmap { 22 : accept, 80 : drop }",
        "ct state vmap { established : accept } ; tcp dport $ADMIN accept",
    ],
)
def test_nftables_rule_lets_ssh_in(tree: Path, rule: str) -> None:
    """Names, ranges, sets, maps, variables and rules without a port all open SSH."""
    enable("nftables.service")(tree)
    write(tree, "/etc/nftables.conf", "define ADMIN = { 22, 9090 }\n" + _NFT.format(rule))
    assert checks_of(tree) == set()


@pytest.mark.parametrize(
    "text",
    [
        "flush ruleset\ntable inet filter {\n chain input {\n  type filter hook input priority filter;\n }\n}\n",
        "table inet f {\n chain forward {\n  type filter hook forward priority 0; policy drop;\n }\n}\n",
        'include "/etc/nftables.d/*.nft"\n' + _NFT.format(""),
        "",
    ],
)
def test_stock_nftables_passes(tree: Path, text: str) -> None:
    """Debian's own file filters nothing; other hooks do not matter; rules may stand in included files."""
    enable("nftables.service")(tree)
    write(tree, "/etc/nftables.conf", text)
    write(tree, "/etc/nftables.d/ssh.nft", "add rule inet filter input tcp dport 22 accept\n")
    assert checks_of(tree) == set()


def test_disabled_firewall_does_not_matter(tree: Path) -> None:
    """Rules that boot does not load keep nobody out."""
    write(tree, "/etc/nftables.conf", _NFT.format(""))
    write(tree, "/etc/ufw/ufw.conf", "ENABLED=yes\n")
    assert checks_of(tree) == set()


def test_other_port_of_sshd_counts(tree: Path) -> None:
    """When sshd listens elsewhere, that port must be open."""
    enable("nftables.service")(tree)
    write(tree, "/etc/ssh/sshd_config.d/10-port.conf", "Port 2222\n")
    write(tree, "/etc/nftables.conf", _NFT.format("tcp dport 22 accept"))
    assert checks_of(tree) == {"firewall-ssh"}
    write(tree, "/etc/nftables.conf", _NFT.format("tcp dport 2222 accept"))
    assert checks_of(tree) == set()


@pytest.mark.parametrize(
    ("path", "content"),
    [
        (
            "/etc/ufw/user.rules",
            "### tuple ### limit tcp 22 any\n-A ufw-user-input -p tcp --dport 22 -j ufw-user-limit-accept\n",
        ),
        ("/etc/ufw/user.rules", "-A ufw-user-input -p tcp -m multiport --dports 22,80 -j ACCEPT\n"),
        ("/etc/ufw/user.rules", "-A ufw-user-input -s 192.0.2.0/24 -j ACCEPT\n"),
        ("/etc/default/ufw", 'DEFAULT_INPUT_POLICY="ACCEPT"\n'),
        ("/etc/ufw/ufw.conf", "ENABLED=no\n"),
    ],
)
def test_ufw_that_lets_ssh_in_passes(tree: Path, path: str, content: str) -> None:
    """A rule for the port, for a network, an open policy, or ufw switched off."""
    enable("ufw.service")(tree)
    write(tree, "/etc/ufw/ufw.conf", "ENABLED=yes\n")
    write(tree, path, content)
    assert checks_of(tree) == set()


def test_stock_firewalld_passes(tree: Path) -> None:
    """Fedora's default zone has the service ssh; a zone of one's own in /etc hides it."""
    enable("firewalld.service")(tree)
    write(tree, "/usr/lib/firewalld/zones/public.xml", '<zone><service name="ssh"/></zone>\n')
    assert checks_of(tree) == set()
    write(tree, "/etc/firewalld/zones/public.xml", '<zone><port port="20-30" protocol="tcp"/></zone>\n')
    assert checks_of(tree) == set()
    write(tree, "/etc/firewalld/firewalld.conf", "# comment\nDefaultZone=FedoraServer\n")
    write(tree, "/usr/lib/firewalld/zones/FedoraServer.xml", '<zone><service name="cockpit"/></zone>\n')
    assert checks_of(tree) == {"firewall-ssh"}


@pytest.mark.parametrize(
    ("path", "content"),
    [
        ("/etc/netplan/90-default.yaml", "network: {ethernets: {all-en: {match: {name: 'en*'}, dhcp4: true}}}\n"),
        ("/etc/network/interfaces", "# comment\nsource /etc/network/interfaces.d/*\nauto lo\niface lo inet loopback\n"),
        ("/etc/network/interfaces.d/50-cloud-init", ""),
        ("/etc/NetworkManager/conf.d/10-globally-managed-devices.conf", "[keyfile]\nunmanaged-devices=none\n"),
        ("/etc/udev/rules.d/70-persistent-net.rules/keep", "a directory of this name only blocks the file\n"),
        ("/etc/udev/rules.d/60-disk.rules", 'ATTR{address}=="aa:bb:cc:dd:ee:ff", RUN+="x"\n'),
        ("/etc/systemd/network/99-default.link", "[Match]\nOriginalName=*\n[Link]\nMACAddressPolicy=none\n"),
    ],
)
def test_stock_network_file_passes(tree: Path, path: str, content: str) -> None:
    """Patterns, package defaults and blockers are not bound to a machine and not generated."""
    write(tree, path, content)
    assert checks_of(tree) == set()


def test_bound_file_is_named_once(tree: Path) -> None:
    """What cloud-init 22.4 writes for networkd names a MAC and an interface: one file, one finding, the worse one."""
    text = "[Match]\nMACAddress=52:54:00:12:34:56\nName=enp0s2\n\n[Network]\nDHCP=ipv4\n"
    write(tree, "/etc/systemd/network/10-cloud-init-enp0s2.network", text)
    (finding,) = verify_directory(tree).findings
    assert (finding.check, finding.severity) == ("net-bound", Severity.FAIL)
    assert "MAC" in finding.found


def test_bound_generated_file_is_one_finding(tree: Path) -> None:
    """A file of the installer that names a MAC is net-bound's alone."""
    text = "network: {ethernets: {a: {match: {macaddress: 'aa:bb:cc:dd:ee:ff'}, dhcp4: true}}}\n"
    write(tree, "/etc/netplan/00-installer-config.yaml", text)
    assert checks_of(tree) == {"net-bound"}


@pytest.mark.parametrize(
    ("path", "content", "unit"),
    [
        ("/etc/netplan/a.yaml", "network: {ethernets: {a: {match: {name: 'en*'}, dhcp4: true}}}\n", None),
        ("/etc/network/interfaces", "source-directory /run/network/interfaces.d\n", "networking.service"),
        ("/etc/NetworkManager/NetworkManager.conf", "[main]\n", "NetworkManager.service"),
        ("/etc/systemd/network/20.network", "[Match]\nType=ether\n[Network]\nDHCP=yes\n", None),
    ],
)
def test_network_without_cloud_init_is_enough(tree: Path, path: str, content: str, unit: str | None) -> None:
    """With cloud-init's networking off, any service with configuration for a NIC gives the clone a network."""
    CLOUD_NETWORK_OFF(tree)
    remove(tree, "/etc/systemd/network/80-dhcp.network")
    assert "net-none" in checks_of(tree)
    write(tree, path, content)
    if unit is not None:
        enable(unit)(tree)
    assert "net-none" not in checks_of(tree)


def test_masked_and_foreign_networks_do_not_count(tree: Path) -> None:
    """A file for containers' interfaces, or one masked by a link to /dev/null, sets up no NIC."""
    CLOUD_NETWORK_OFF(tree)
    write(tree, "/usr/lib/systemd/network/80-container-host0.network", "[Match]\nKind=veth\nName=host0\n")
    write(tree, "/usr/lib/systemd/network/80-dhcp.network", "[Match]\nName=en*\n[Network]\nDHCP=yes\n")
    link(tree, "/etc/systemd/network/80-dhcp.network", "/dev/null")
    assert "net-none" in checks_of(tree)


def test_wait_online_has_something_to_wait_for(tree: Path) -> None:
    """Enabled beside cloud-init's networking, or with a matching file, the wait ends."""
    unit = "/usr/lib/systemd/system/systemd-networkd-wait-online.service"
    write(tree, unit, "[Service]\nExecStart=/usr/lib/systemd/systemd-networkd-wait-online\n")
    link(tree, f"{SYSTEM}/network-online.target.wants/systemd-networkd-wait-online.service", unit)
    assert checks_of(tree) == set()
    CLOUD_NETWORK_OFF(tree)
    assert "wait-online" not in checks_of(tree)
    remove(tree, "/etc/systemd/network/80-dhcp.network")
    assert "wait-online" in checks_of(tree)
    write(tree, f"{SYSTEM}/systemd-networkd-wait-online.service.d/a.conf", "[Service]\nExecStart=x --any\n")
    assert "wait-online" not in checks_of(tree)


def test_resolver_on_the_machine_itself_is_no_leak(tree: Path) -> None:
    """A regular file that names the local stub says nothing about the build network."""
    remove(tree, "/etc/resolv.conf")
    write(tree, "/etc/resolv.conf", "nameserver 127.0.0.53\noptions edns0\nsearch .\n")
    assert checks_of(tree) == set()
