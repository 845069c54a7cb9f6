"""Agents: what packages ship, what is not registered, and what a definition asks for passes."""

from pathlib import Path

import pytest

from imagekit.verify import Policy, verify_directory
from tests.verify.clean_tree import append, link, write

OURS = {
    "overlay-network", "config-management", "subscription", "snapd-identity", "directory-join", "monitoring-identity",
    "security-agents", "ci-runners", "backup-clients", "host-counters", "mail-identity", "foreign-agents",
    "vagrant-leftovers",
}  # fmt: skip
UNITS = "/usr/lib/systemd/system"
WANTS = "/etc/systemd/system/multi-user.target.wants"


def find_ids(tree: Path, policy: Policy | None = None) -> set[str]:
    """Return which of these checks report something."""
    return {finding.check for finding in verify_directory(tree, policy).findings} & OURS


@pytest.mark.parametrize(
    ("path", "content"),
    [
        ("/var/lib/tailscale/tailscaled.state", "{}"),
        ("/etc/default/tailscaled", 'PORT="41641"\n'),
        ("/etc/wireguard/publickey", "AAAAcanaryCANARYcanaryCANARYcanaryCANARYcan=\n"),
        ("/etc/systemd/network/wg0.netdev", "[WireGuard]\nPrivateKeyFile=/etc/wg.key\n"),
        ("/etc/openvpn/update-resolv-conf", "#!/bin/bash\n"),
        ("/etc/tinc/nets.boot", "# nothing\n"),
        ("/etc/salt/minion", "#master: salt\n"),
        ("/etc/ansible/hosts", "# nothing\n"),
        ("/etc/puppet/puppet.conf", "[main]\nssldir = /var/lib/puppet/ssl\n"),
        ("/etc/ubuntu-advantage/uaclient.conf", "contract_url: https://contracts.example\nlog_level: debug\n"),
        ("/etc/landscape/client.conf", "[client]\nlog_level = info\n"),
        ("/var/lib/snapd/state.json", '{"data": {"auth": {"device": {"brand": "generic"}}}}'),
        ("/var/lib/snapd/state.json", '{"data": ["serial"], "serial": {'),
        ("/var/lib/snapd/state.json", '{"data": {"auth": {"device": {"serial": 7}}}}'),
        ("/etc/sssd/sssd.conf", "[sssd]\n# ldap_default_authtok = x\n"),
        ("/etc/nslcd.conf", "#bindpw secret\n"),
        ("/etc/zabbix/zabbix_agentd.conf", "# Hostname=\nHostname=Zabbix server\n"),
        ("/etc/datadog-agent/datadog.yaml", "api_key:\n"),
        ("/etc/default/prometheus-node-exporter", 'ARGS=""\n'),
        ("/etc/promtail/config.yml", "positions:\n  filename: /var/lib/promtail/positions.yaml\n"),
        ("/var/ossec/etc/client.keys", ""),
        ("/etc/crowdsec/online_api_credentials.yaml", ""),
        ("/etc/gitlab-runner/config.toml", "concurrent = 1\n"),
        ("/etc/buildkite-agent/buildkite-agent.cfg", '# The token\ntoken="xxx"\n'),
        ("/opt/actions-runner/config.sh", "#!/bin/bash\n"),
        ("/opt/app/.credentials", "nothing of a runner"),
        ("/etc/restic/excludes", "/proc\n"),
        ("/etc/popularity-contest.conf", 'PARTICIPATE="no"\n'),
        ("/var/lib/update-notifier/updates-available", "\n0 updates can be applied immediately.\n"),
        ("/etc/mailname", "localhost\n"),
        ("/etc/postfix/main.cf", "myhostname = localhost\nmydomain = $myhostname\n#myhostname = host.example\n"),
        ("/etc/exim4/update-exim4.conf.conf", "dc_other_hostnames='localhost'\ndc_readhost=''\n"),
        ("/etc/vagrant.d", "x"),
    ],
)
def test_what_packages_ship_passes(tree: Path, path: str, content: str) -> None:
    """Defaults, examples, templates and empty state are nobody's identity."""
    write(tree, path, content)
    assert find_ids(tree) == set()


@pytest.mark.parametrize(("wanted", "expected"), [("vmware", set()), ("|vmware", set()), ("kvm", {"foreign-agents"})])
def test_agent_that_asks_where_it_runs_passes(tree: Path, wanted: str, expected: set[str]) -> None:
    """Ubuntu's images have open-vm-tools enabled; its own condition keeps it from starting here."""
    unit = f"[Unit]\nConditionVirtualization={wanted}\n[Service]\nExecStart=/usr/bin/vmtoolsd\n"
    write(tree, f"{UNITS}/open-vm-tools.service", unit)
    link(tree, f"{WANTS}/open-vm-tools.service", f"{UNITS}/open-vm-tools.service")
    assert find_ids(tree) == expected


def test_agent_that_is_not_enabled_passes(tree: Path) -> None:
    """An installed agent that boot does not start harms nobody."""
    write(tree, f"{UNITS}/walinuxagent.service", "[Service]\nExecStart=/usr/sbin/waagent -daemon\n")
    assert find_ids(tree) == set()


def test_wanted_vagrant_user_passes(tree: Path) -> None:
    """A definition that names user vagrant makes a Vagrant box on purpose."""
    append(tree, "/etc/passwd", "vagrant:x:1000:1000::/home/vagrant:/bin/bash\n")
    write(tree, "/etc/sudoers.d/vagrant", "vagrant ALL=(ALL) NOPASSWD:ALL\n")
    assert "vagrant-leftovers" in find_ids(tree)
    assert find_ids(tree, Policy(allow_users=("vagrant",))) == set()


def test_runner_in_any_home_is_reported(tree: Path) -> None:
    """Runners live where their user unpacked them; a home without an account counts too."""
    write(tree, "/home/ci/runner-2/.credentials_rsaparams", "{}")
    (finding,) = [each for each in verify_directory(tree).findings if each.check == "ci-runners"]
    assert finding.path == "/home/ci/runner-2/.credentials_rsaparams"
    assert finding.fix == '`rm -rf "$path"`'


def test_missing_passwd_does_not_hide_roots_state(tree: Path) -> None:
    """Without /etc/passwd the homes that the tree has are looked at."""
    (tree / "etc/passwd").unlink()
    write(tree, "/root/.cache/restic/a/config", "x")
    write(tree, "/root/.vbox_version", "7")
    assert {"backup-clients", "vagrant-leftovers"} <= find_ids(tree)


def test_secret_is_never_shown(tree: Path) -> None:
    """The evidence names the kind and size of what was found, not a byte of it."""
    write(tree, "/etc/gitlab-runner/config.toml", '[[runners]]\n  token = "glrt-canarycanary"\n')
    write(tree, "/var/lib/tailscale/tailscaled.state", '{"_machinekey": "privkey:canarycanary"}')
    shown = [finding.found for finding in verify_directory(tree).findings if finding.check in OURS]
    assert len(shown) == 2
    assert not any("canary" in found for found in shown)
