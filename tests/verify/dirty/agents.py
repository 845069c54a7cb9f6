"""Dirt about agents and enrolments: one for each kind of rule, and for the rows that people meet most often."""

import json

from imagekit.report import Severity
from tests.verify.dirty.change import FAIL, INFO, SYSTEM, WARN, Dirt, added, all_of, linked, wrote

_KEY = "AAAAcanaryCANARYcanaryCANARYcanaryCANARYcan="
_UUID = "1f0b3c52-6f0e-4a52-9a49-3b6b4f0c1d2e"
_UNIT = "[Service]\nExecStart=/usr/bin/true\n[Install]\nWantedBy=multi-user.target\n"
_SERIAL = json.dumps({"data": {"auth": {"device": {"brand": "generic", "serial": _UUID}}}})


def _file(check: str, name: str, path: str, content: str, severity: Severity = FAIL) -> Dirt:
    return Dirt(check, name, severity, path, wrote(path, content))


DIRT = (
    _file("overlay-network", "tailscale", "/var/lib/tailscale/tailscaled.state", '{"_machinekey": "canary"}'),
    _file("overlay-network", "log-id", "/var/lib/tailscale/tailscaled.log.conf", '{"PrivateID":"a"}', WARN),
    _file("overlay-network", "wireguard", "/etc/wireguard/wg0.conf", f"[Interface]\nPrivateKey = {_KEY}\n"),
    _file("overlay-network", "wireguard-key", "/etc/wireguard/privatekey", f"{_KEY}\n"),
    _file("overlay-network", "zerotier", "/var/lib/zerotier-one/identity.secret", "a:0:b:c"),
    _file("overlay-network", "netbird", "/etc/netbird/config.json", f'{{"PrivateKey": "{_KEY}"}}'),
    _file("overlay-network", "cloudflared", "/root/.cloudflared/t.json", '{"TunnelSecret":"canary"}'),
    _file("overlay-network", "nebula", "/etc/nebula/host.key", "canary"),
    _file("config-management", "salt", "/etc/salt/pki/minion/minion.pem", "canary"),
    _file("config-management", "minion-id", "/etc/salt/minion_id", "build01\n", WARN),
    _file("config-management", "puppet", "/etc/puppetlabs/puppet/ssl/private_keys/build01.pem", "canary"),
    _file("config-management", "chef", "/etc/chef/client.pem", "canary"),
    _file("config-management", "vault", "/etc/ansible/group_vars/all", "$ANSIBLE_VAULT;1.1;AES256\n6162\n", WARN),
    _file("subscription", "entitlement", "/etc/pki/entitlement/1.pem", "canary"),
    _file("subscription", "pro", "/var/lib/ubuntu-advantage/private/machine-token.json", "{}"),
    _file("subscription", "uaclient", "/etc/ubuntu-advantage/uaclient.conf", "contract_token: C1canarycanary\n"),
    _file("subscription", "suse", "/etc/zypp/credentials.d/SCCcredentials", "username=a\npassword=canary\n"),
    _file("subscription", "landscape", "/etc/landscape/client.conf", "[client]\nregistration_key = canary\n"),
    _file("snapd-identity", "serial", "/var/lib/snapd/state.json", _SERIAL, WARN),
    _file("snapd-identity", "key", "/var/lib/snapd/device/private-keys-v1/a", "canary", WARN),
    _file("directory-join", "keytab", "/etc/krb5.keytab", "\5\2canary"),
    _file("directory-join", "cache", "/var/lib/sss/db/cache_a.ldb", "canary"),
    _file("directory-join", "config", "/var/lib/sss/db/config.ldb", "canary", WARN),
    _file("directory-join", "bind", "/etc/sssd/sssd.conf", "[domain/a]\nldap_default_authtok = canary\n"),
    _file("directory-join", "samba", "/var/lib/samba/private/secrets.tdb", "canary"),
    _file("monitoring-identity", "netdata", "/var/lib/netdata/registry/netdata.public.unique.id", _UUID, WARN),
    _file("monitoring-identity", "netdata-key", "/var/lib/netdata/cloud.d/private.pem", "canary"),
    _file("monitoring-identity", "positions", "/var/lib/promtail/positions.yaml", "positions: {a: 1}\n", WARN),
    _file("monitoring-identity", "psk", "/etc/zabbix/agent.psk", "canary"),
    _file("monitoring-identity", "zabbix", "/etc/zabbix/zabbix_agentd.conf", "Hostname=build01\n", WARN),
    _file("monitoring-identity", "datadog", "/etc/datadog-agent/datadog.yaml", f"api_key: {'0123' * 8}\n"),
    _file("security-agents", "wazuh", "/var/ossec/etc/client.keys", "001 build01 any canary"),
    _file("security-agents", "falcon", "/opt/CrowdStrike/falconstore", "canary", WARN),
    _file("security-agents", "crowdsec", "/etc/crowdsec/local_api_credentials.yaml", "login: a\npassword: canary\n"),
    _file("ci-runners", "gitlab", "/etc/gitlab-runner/config.toml", '[[runners]]\n  token = "canary"\n'),
    _file("ci-runners", "forgejo", "/var/lib/forgejo-runner/.runner", f'{{"uuid": "{_UUID}"}}'),
    _file("ci-runners", "actions", "/opt/actions-runner/.credentials", '{"scheme": "OAuth"}'),
    _file("ci-runners", "home", "/root/actions-runner/.runner", '{"agentId": 1}'),
    _file("ci-runners", "buildkite", "/etc/buildkite-agent/buildkite-agent.cfg", 'token="canarycanary"\n'),
    _file("backup-clients", "proxmox", "/root/.config/proxmox-backup/encryption-key.json", "{}", WARN),
    _file("backup-clients", "restic", "/etc/restic/password", "canary\n", WARN),
    Dirt("backup-clients", "borg", WARN, "borg/security", wrote("/root/.config/borg/security/a/key-type", "0")),
    _file("backup-clients", "borgmatic", "/etc/borgmatic/config.yaml", "encryption_passphrase: canary\n", WARN),
    _file("host-counters", "popcon", "/etc/popularity-contest.conf", 'MY_HOSTID="0123456789abcdef"\n', INFO),
    _file("host-counters", "pollinate", "/var/cache/pollinate/seeded", "x", INFO),
    _file("mail-identity", "mailname", "/etc/mailname", "build01.lan\n", WARN),
    _file("mail-identity", "postfix", "/etc/postfix/main.cf", "myhostname = build01.lan\n", WARN),
    _file("mail-identity", "exim", "/etc/exim4/update-exim4.conf.conf", "dc_other_hostnames='build01.lan'\n", WARN),
    Dirt("foreign-agents", "waagent", WARN, "/var/lib/waagent", wrote("/var/lib/waagent/Certificates.xml", "<a/>")),
    Dirt(
        "foreign-agents",
        "enabled",
        WARN,
        "google-guest-agent",
        all_of(
            wrote("/usr/lib/systemd/system/google-guest-agent.service", _UNIT),
            linked(f"{SYSTEM}/multi-user.target.wants/google-guest-agent.service", "/usr/lib/systemd/system/x"),
        ),
    ),
    Dirt(
        "vagrant-leftovers",
        "user",
        FAIL,
        "/etc/passwd",
        added("/etc/passwd", "vagrant:x:1000:1000::/home/vagrant:/bin/bash\n"),
    ),
    _file("vagrant-leftovers", "sudoers", "/etc/sudoers.d/vagrant", "vagrant ALL=(ALL) NOPASSWD:ALL\n"),
    _file("vagrant-leftovers", "time", "/etc/vagrant_box_build_time", "2026\n"),
    _file("vagrant-leftovers", "version", "/root/.vbox_version", "7.0"),
    Dirt("vagrant-leftovers", "share", FAIL, "/vagrant", lambda root: (root / "vagrant").mkdir()),
)
KIN = {
    "vagrant-leftovers": {"build-user", "account-passwords", "sudo-nopasswd"},
    "subscription": {"repo-credentials"},
}
