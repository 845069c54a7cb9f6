"""Agents, enrolments and private networks: where each keeps what makes it this machine and no other.

Sources: the projects' manuals and issues named in the tables of the checks; where a file also exists on machines that
are enrolled nowhere, the row says what it must hold.
"""

from imagekit.report import Severity
from imagekit.verify.facts.state_rows import Row

_F, _W = Severity.FAIL, Severity.WARN


def _line(pattern: str) -> str:
    """Return a pattern for the beginning of any line, case ignored."""
    return rf"(?mi)^[ \t]*{pattern}"


_WIREGUARD_KEY = _line(r"PrivateKey[ \t]*[=:][ \t]*\"?[A-Za-z0-9+/]{42}")
_PEM_KEY = r"-----BEGIN (?:[A-Z0-9]+ ){0,3}(?:PRIVATE KEY|Static key V1)-----"
_JSON_KEY = r"\"PrivateKey\"\s*:\s*\"[^\"]"
_ANY_JSON_NAME = r"\"[^\"]+\"\s*:"
_VAULT_FILE = r"\A\$ANSIBLE_VAULT;"
_PRO_TOKEN = _line(r"[\w-]{0,32}token[\w-]{0,32}[ \t]*:[ \t]*[\"']?[\w-]{8}")
_RUNNER = r"(?i)\"(?:agentId|uuid|token|poolId)\"\s*:"
_BUILDKITE_TOKEN = _line(r"token[ \t]*=[ \t]*\"?(?!xxx)[^\s\"]{6}")
_UNREGISTER = "`gitlab-runner unregister --all-runners`"

_RUNNER_HOMES = ("~", "~/*", "/opt/*", "/srv/*", "/actions-runner*")
_RUNNERS = ("act_runner", "act-runner", "forgejo-runner", "gitea-runner", "gitea-runner/*")

AGENT_ROWS: dict[str, tuple[Row, ...]] = {
    "overlay-network": (
        Row("/var/lib/tailscale/tailscaled.state", "a Tailscale node's keys", holds=_ANY_JSON_NAME,
            fix="`tailscale logout; systemctl stop tailscaled; rm -rf /var/lib/tailscale/*`"),
        Row("/var/lib/tailscale/tailscaled.log.conf", "a Tailscale node's log id", _W),
        Row("/etc/wireguard/*.conf", "a WireGuard private key", holds=_WIREGUARD_KEY),
        Row("/etc/wireguard/*key*", "a WireGuard private key", holds=r"\A\s*[A-Za-z0-9+/]{43}=\s*\Z",
            except_names=("*pub*",)),
        Row("/etc/systemd/network/*.netdev", "a WireGuard private key", holds=_WIREGUARD_KEY),
        Row("/etc/systemd/network/*.netdev.d/*.conf", "a WireGuard private key", holds=_WIREGUARD_KEY),
        Row("/var/lib/zerotier-one/identity.secret", "a ZeroTier node's key"),
        Row("/etc/netbird/*.json", "a NetBird peer's keys", holds=_JSON_KEY),
        Row("/var/lib/netbird/*.json", "a NetBird peer's keys", holds=_JSON_KEY),
        Row("/etc/nebula/*.key", "a Nebula key"),
        Row("/var/lib/headscale/*.key", "a Headscale server's key"),
        Row("/etc/headscale/*.key", "a Headscale server's key"),
        *(Row(f"/etc/openvpn{place}/*", "an OpenVPN key", holds=_PEM_KEY) for place in ("", "/client", "/server")),
        Row("/etc/openvpn/easy-rsa/pki/private/*", "an OpenVPN authority's key", holds=_PEM_KEY),
        Row("/etc/cloudflared/cert.pem", "a Cloudflare account's certificate"),
        Row("/etc/cloudflared/*.json", "a Cloudflare tunnel's secret", holds="TunnelSecret"),
        Row("~/.cloudflared/cert.pem", "a Cloudflare account's certificate"),
        Row("~/.cloudflared/*.json", "a Cloudflare tunnel's secret", holds="TunnelSecret"),
        Row("/etc/systemd/system/cloudflared*.service", "a Cloudflare tunnel's token",
            holds=r"--token[ =]\S{20}", fix="`cloudflared service uninstall`"),
        *(Row(f"/etc/{place}/*", "an IPsec private key", holds=_PEM_KEY)
          for place in ("swanctl/private", "swanctl/rsa", "swanctl/ecdsa", "swanctl/pkcs8", "ipsec.d/private")),
        Row("/etc/tinc/*/*_key.priv", "a tinc node's key"),
        Row("/etc/yggdrasil*.conf", "a Yggdrasil node's key", holds=_line(r"\"?PrivateKey\"?\s*:\s*\"?[0-9a-f]{64}")),
        Row("/etc/yggdrasil/*.conf", "a Yggdrasil node's key", holds=_line(r"\"?PrivateKey\"?\s*:\s*\"?[0-9a-f]{64}")),
    ),
    "config-management": (
        Row("/etc/salt/pki/minion/minion.pem", "a Salt minion's key"),
        Row("/etc/salt/pki/master/*.pem", "a Salt master's key", except_names=("*.pub",)),
        Row("/etc/salt/minion_id", "a Salt minion's name", _W),
        *(Row(f"{place}/ssl/private_keys/*.pem", "a Puppet agent's key")
          for place in ("/etc/puppetlabs/puppet", "/etc/puppet", "/var/lib/puppet")),
        *(Row(f"/etc/{name}/{key}", "a Chef client's key")
          for name in ("chef", "cinc") for key in ("client.pem", "validation.pem")),
        Row("/var/cfengine/ppkeys/*.priv", "a CFEngine host's key"),
        Row("/var/lib/cfengine3/ppkeys/*.priv", "a CFEngine host's key"),
        Row("/etc/ansible/*vault*pass*", "a password for Ansible Vault"),
        *(Row(f"/etc/ansible/{place}", "a file encrypted by Ansible Vault", _W, _VAULT_FILE)
          for place in ("*", "group_vars/*", "host_vars/*", "group_vars/*/*")),
    ),
    "subscription": (
        Row("/etc/pki/consumer/*.pem", "a subscribed machine's certificate", fix="`subscription-manager clean`"),
        Row("/etc/pki/entitlement/*.pem", "an entitlement", fix="`subscription-manager clean`"),
        Row("/etc/sysconfig/rhn/systemid", "a machine's id at Satellite or SUSE Manager"),
        Row("/var/lib/ubuntu-advantage/private/machine-token.json", "a machine's Ubuntu Pro token",
            fix="`pro detach --assume-yes`"),
        Row("/etc/ubuntu-advantage/uaclient.conf", "an Ubuntu Pro token", holds=_PRO_TOKEN,
            fix="`sed -i '/token/d' /etc/ubuntu-advantage/uaclient.conf`"),
        Row("/etc/zypp/credentials.d/SCCcredentials", "a machine's account at SUSE", fix="`SUSEConnect --cleanup`"),
        Row("/etc/landscape/client.conf", "a Landscape registration key", holds=_line(r"registration_key\s*=\s*\S"),
            fix="`sed -i '/^registration_key/d' /etc/landscape/client.conf`"),
        Row("/var/lib/landscape/client/*.bpickle", "a machine's id at Landscape"),
        Row("/etc/insights-client/machine-id", "a machine's id at Insights"),
    ),
    "snapd-identity": (
        Row("/var/lib/snapd/device/private-keys-v1/*", "the device's key"),
        Row("/var/lib/snapd/assertions/asserts-v0/serial", "a serial assertion"),
    ),
    "directory-join": (
        Row("/etc/krb5.keytab", "a machine's Kerberos keys"),
        Row("/var/lib/sss/db/cache_*.ldb", "accounts of a domain"),
        Row("/var/lib/sss/db/ccache_*", "Kerberos tickets of a domain"),
        Row("/var/lib/sss/db/*.ldb", "settings that sssd has kept", _W),
        Row("/var/lib/sss/secrets/*", "secrets that sssd keeps"),
        Row("/var/lib/sss/secrets/.secrets.mkey", "the key of sssd's secrets"),
        Row("/etc/ipa/default.conf", "membership of a FreeIPA domain",
            fix="`ipa-client-install --uninstall --unattended`"),
        Row("/var/lib/samba/private/secrets.tdb", "a machine's account in a domain"),
        Row("/var/lib/samba/secrets.tdb", "a machine's account in a domain"),
        *(Row(place, "a password for the directory", holds=_line(r"ldap_default_authtok[ \t]*=[ \t]*\S"))
          for place in ("/etc/sssd/sssd.conf", "/etc/sssd/conf.d/*.conf")),
        Row("/etc/nslcd.conf", "a password for the directory", holds=_line(r"bindpw[ \t]+\S")),
        Row("/etc/*ldap.secret", "a password for the directory"),
    ),
    "monitoring-identity": (
        Row("/var/lib/netdata/registry/netdata.public.unique.id", "a Netdata node's id"),
        Row("/var/lib/netdata/cloud.d/private.pem", "a Netdata node's key", _F),
        Row("/var/lib/netdata/cloud.d/token", "a Netdata claiming token", _F),
        Row("/var/lib/netdata/cloud.d/claimed_id", "a claimed Netdata node's id"),
        *(Row(place, "a Grafana agent's id") for place in (
            "/var/lib/alloy/data/alloy_seed.json", "/var/lib/alloy/alloy_seed.json",
            "/etc/alloy/alloy_seed.json", "/var/lib/grafana-agent/agent_seed.json", "/etc/agent/agent_seed.json")),
        Row("/var/lib/promtail/positions.y*ml", "what Promtail has already read"),
        Row("/etc/promtail/positions.y*ml", "what Promtail has already read"),
        *(Row(f"/var/lib/{beat}/meta.json", "a Beat's id")
          for beat in ("filebeat", "metricbeat", "auditbeat", "packetbeat")),
        Row("/var/lib/filebeat/registry", "what Filebeat has already read"),
        Row("/etc/zabbix/*.psk", "a Zabbix agent's key", _F),
        *(Row(place, "a Zabbix agent with a fixed name", holds=r"(?m)^Hostname=(?!Zabbix server\s*$)\S",
              fix="set HostnameItem=system.hostname instead of Hostname=")
          for place in ("/etc/zabbix/zabbix_agent*.conf", "/etc/zabbix/zabbix_agent*.d/*.conf")),
        *(Row(f"{place}/fleet.enc", "an Elastic agent's enrolment", _F)
          for place in ("/opt/Elastic/Agent", "/etc/elastic-agent", "/var/lib/elastic-agent")),
        Row("/var/osquery/osquery.db/CURRENT", "an osquery host's database"),
        Row("/etc/datadog-agent/datadog.yaml", "a Datadog key", _F, _line(r"api_key:\s*[\"']?[0-9a-f]{32}"),
            fix="give api_key to the clone: `sed -i '/^api_key:/d' /etc/datadog-agent/datadog.yaml`"),
        Row("/etc/newrelic-infra.yml", "a New Relic key", _F, _line(r"license_key:\s*\S{20}"),
            fix="give license_key to the clone: `sed -i '/^license_key:/d' /etc/newrelic-infra.yml`"),
        Row("/var/lib/cmk-agent/registered_connections.json", "a Checkmk agent's keys", _F, _ANY_JSON_NAME),
        Row("/var/lib/icinga2/certs/*.key", "an Icinga node's key", _F),
        Row("/var/lib/monit/id", "a Monit host's id"),
        Row("~/.monit.id", "a Monit host's id"),
    ),
    "security-agents": (
        Row("/var/ossec/etc/client.keys", "a Wazuh agent's key"),
        # Vendor's image step removes the agent's id from it and leaves the customer's: the file cannot tell which.
        Row("/opt/CrowdStrike/falconstore", "a Falcon sensor's store, perhaps with its agent id", _W,
            fix="`/opt/CrowdStrike/falconctl -d -f --aid`"),
        Row("/var/lib/teleport/host_uuid", "a Teleport host's id"),
        Row("/var/lib/teleport/proc", "a Teleport agent's identity"),
        Row("/etc/opt/microsoft/mdatp/mdatp_onboard.json", "Defender's onboarding"),
        Row("/opt/sentinelone/configuration/*", "a SentinelOne agent's id",
            holds=r"(?i)(?:uuid|site_key|site_token|mgmt_token)\W{1,6}\w{8}"),
        Row("/etc/qualys/hostid", "a Qualys host's id"),
        Row("/etc/tenable_tag", "a Nessus agent's id"),
        Row("/opt/nessus_agent/var/nessus/uuid", "a Nessus agent's id"),
        *(Row(f"/etc/crowdsec/{name}_api_credentials.yaml", "a CrowdSec machine's account",
              holds=_line(r"password:\s*\S")) for name in ("local", "online")),
    ),
    "ci-runners": (
        *(Row(place, "a GitLab runner's token", holds=_line(r"token[ \t]*=[ \t]*\"[^\"]"), fix=_UNREGISTER)
          for place in ("/etc/gitlab-runner/config.toml", "~/.gitlab-runner/config.toml")),
        *(Row(f"{place}/.runner", "a runner's registration", holds=_RUNNER)
          for place in (*_RUNNER_HOMES, *(f"{top}/{name}" for top in ("/var/lib", "/etc") for name in _RUNNERS))),
        *(Row(f"{place}/.credentials", "a runner's credentials", holds=r"\"scheme\"\s*:")
          for place in _RUNNER_HOMES),
        *(Row(f"{place}/.credentials_rsaparams", "a runner's key") for place in _RUNNER_HOMES),
        Row("/etc/buildkite-agent/buildkite-agent.cfg", "a Buildkite token", holds=_BUILDKITE_TOKEN,
            fix="`sed -i '/^token=/d' /etc/buildkite-agent/buildkite-agent.cfg`"),
        Row("/etc/woodpecker/*", "a Woodpecker agent's secret", holds=_line(r"WOODPECKER_AGENT_SECRET\s*=\s*\S")),
        Row("/etc/drone-runner*/*", "a Drone runner's secret", holds=_line(r"DRONE_RPC_SECRET\s*=\s*\S")),
        Row("/var/lib/jenkins/secrets/master.key", "a Jenkins controller's key"),
        Row("/var/lib/jenkins/identity.key.enc", "a Jenkins controller's key"),
    ),
    "backup-clients": (
        Row("~/.config/proxmox-backup/*", "a Proxmox Backup client's keys and tickets"),
        Row("/etc/proxmox-backup*/*", "a password for Proxmox Backup", holds=_line(r"(?:export )?PBS_\w*PASSWORD=\S")),
        Row("/etc/default/proxmox-backup*", "a password for Proxmox Backup",
            holds=_line(r"(?:export )?PBS_\w*PASSWORD=\S")),
        Row("~/.config/borg/security/*", "what Borg knows about a repository"),
        Row("~/.config/borg/keys/*", "a Borg repository's key"),
        Row("~/.cache/borg", "Borg's cache of a repository"),
        *(Row(place, "a Borg passphrase", holds=_line(r"(?:- )?encryption_passphrase:\s*\S"))
          for place in ("/etc/borgmatic/*.yaml", "/etc/borgmatic.d/*.yaml", "~/.config/borgmatic/*.yaml")),
        Row("~/.cache/restic", "restic's cache of a repository"),
        *(Row(place, "a restic password") for place in ("/etc/restic/*pass*", "/etc/restic*pass*", "~/.restic*pass*")),
        Row("/etc/restic/*", "a restic password", holds=_line(r"(?:export )?RESTIC_PASSWORD=\S")),
        *(Row(place, "an account of rclone", holds=_line(r"(?:pass|token|secret\w{0,32}|\w{0,32}key)[ \t]*=[ \t]*\S"))
          for place in ("/etc/rclone*.conf", "/etc/rclone/*.conf")),
        Row("~/.config/kopia/repository.config*", "a Kopia repository and its password"),
        Row("~/.cache/duplicity", "duplicity's cache of a repository"),
        Row("~/tarsnap.key", "a Tarsnap machine's key"),
        Row("/var/urbackup/*ident*", "an UrBackup client's identity"),
    ),
    "host-counters": (
        Row("/etc/popularity-contest.conf", "a host's id in Debian's package survey",
            holds=_line(r"MY_HOSTID=[\"']?[0-9a-f]{8}"), fix="`sed -i '/^MY_HOSTID=/d' /etc/popularity-contest.conf`"),
        Row("/var/cache/pollinate/seeded", "the mark that this host was seeded"),
        Row("/var/lib/yum/uuid", "a host's id in Yum's count"),
        Row("/etc/smolt/hw-uuid", "a host's id in Smolt's survey"),
        Row("/etc/smolt/*uuid*", "a host's id in Smolt's survey"),
        Row("/var/lib/fwupd/pending.db", "firmware updates of another machine"),
        # Ubuntu's images ship the file with zero updates; a number means that the build's machine has counted.
        Row("/var/lib/update-notifier/updates-available", "a count of updates from the build",
            holds=_line(r"[1-9]\d* (?:updates?|packages?) can")),
    ),
}  # fmt: skip
