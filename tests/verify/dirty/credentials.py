"""Dirt about credentials of people and tools, and about file modes. Every token here is made up."""

from collections.abc import Callable
from pathlib import Path

from imagekit.verify import Policy
from tests.verify.dirty.change import FAIL, INFO, PRIVATE_KEY, SYSTEM, WARN, Dirt, all_of, wrote

WHOLE_KEY = (
    "-----BEGIN RSA PRIVATE KEY-----\n" + "CanaryCanaryCanaryCanaryCanaryCanary0123456789Canary\n" * 6
) + "-----END RSA PRIVATE KEY-----\n"
PVE_TOKEN = "PVEAPIToken=root@pam!ci=" + "c0ffee00-1111-2222-3333-444455556666"
GITHUB_TOKEN = "ghp_" + "CanaryCanary" * 3


def changed_mode(path: str, mode: int) -> Callable[[Path], None]:
    """Return a change of one file's mode."""
    return lambda root: (root / path.lstrip("/")).chmod(mode)


def _login(name: str, text: str, home: str = "/root") -> Dirt:
    return Dirt("cli-credentials", name.replace("/", "-"), FAIL, f"{home}/{name}", wrote(f"{home}/{name}", text))


DIRT = (
    _login(".aws/credentials", "[default]\naws_secret_access_key = canary\n"),
    _login(".azure/msal_token_cache.json", '{"AccessToken": {"secret": "canary"}}'),
    _login(".config/gcloud/application_default_credentials.json", '{"refresh_token": "canary"}'),
    _login(".kube/config", "users:\n- user:\n    token: canary\n"),
    _login(".docker/config.json", '{"auths": {"r.example": {"auth": "Y2FuYXJ5"}}}'),
    _login(".config/containers/auth.json", '{"auths": {"r.example": {"auth": "Y2FuYXJ5"}}}'),
    _login(".netrc", "machine h.example\nlogin u password canary\n"),
    _login(".git-credentials", "https://u:canary@git.example\n"),
    _login(".config/gh/hosts.yml", "github.com:\n    oauth_token: canary\n"),
    _login(".npmrc", "//r.example/:_authToken=canary\n"),
    _login(".pypirc", "[pypi]\nusername = u\npassword = canary\n"),
    _login(".pgpass", "h.example:5432:db:u:canary\n"),
    _login(".my.cnf", "[client]\npassword = canary\n"),
    _login(".config/rclone/rclone.conf", "[s3]\nsecret_access_key = canary\n"),
    _login(".terraform.d/credentials.tfrc.json", '{"credentials": {"app.example": {"token": "canary"}}}'),
    _login(".vault-token", "hvs." + "Canary" * 6),
    _login(
        ".config/sops/age/keys.txt", "AGE-SECRET-KEY-1" + "CANARYCANARYCANARYCANARYCANARYCANARYCANARYCANARYCANARYCANA"
    ),
    _login(".gnupg/private-keys-v1.d/0A.key", "Key: (private-key canary)\n"),
    _login(".pgpass", "h:1:d:u:canary\n", "/home/old"),
    Dirt("tls-private-keys", "ssl", FAIL, "/etc/ssl/private/a.key", wrote("/etc/ssl/private/a.key", PRIVATE_KEY)),
    Dirt("tls-private-keys", "web", FAIL, "site.pem", wrote("/etc/nginx/site.pem", f"# mine\n{PRIVATE_KEY}")),
    Dirt(
        "tls-private-keys",
        "snakeoil",
        WARN,
        "snakeoil",
        wrote("/etc/ssl/private/ssl-cert-snakeoil.key", WHOLE_KEY),
    ),
    Dirt(
        "tls-private-keys",
        "acme",
        FAIL,
        "private_key.json",
        wrote("/etc/letsencrypt/accounts/acme.example/directory/1/private_key.json", '{"d": "canary", "kty": "RSA"}'),
    ),
    Dirt(
        "tls-private-keys",
        "postgres",
        FAIL,
        "server.key",
        wrote("/var/lib/postgresql/15/main/server.key", PRIVATE_KEY),
    ),
    Dirt("secret-strings", "proxmox", FAIL, "backup.sh", wrote("/usr/local/bin/backup.sh", f"curl -H '{PVE_TOKEN}'\n")),
    Dirt("secret-strings", "token", FAIL, "ci.env", wrote("/opt/ci.env", f"GH={GITHUB_TOKEN}\n")),
    Dirt("secret-strings", "key", FAIL, "agent.conf", wrote("/etc/agent.conf", WHOLE_KEY)),
    Dirt(
        "secret-strings", "deep", FAIL, "big.txt", wrote("/srv/big.txt", "x\n" * 200_000 + PVE_TOKEN), Policy(deep=True)
    ),
    Dirt(
        "secret-strings",
        "unit",
        WARN,
        "app.service",
        wrote(f"{SYSTEM}/app.service", "[Service]\nEnvironment=DB_PASSWORD=canary77\nExecStart=/usr/bin/true\n"),
    ),
    Dirt(
        "network-secrets",
        "keyfile",
        FAIL,
        "w.nmconnection",
        wrote("/etc/NetworkManager/system-connections/w.nmconnection", "[wifi-security]\npsk=canarycanary\n"),
    ),
    Dirt(
        "network-secrets",
        "netplan",
        FAIL,
        "wifi.yaml",
        wrote(
            "/etc/netplan/wifi.yaml",
            'network:\n  wifis:\n    w*:\n      access-points: {"n": {password: "canary99"}}\n',
        ),
    ),
    Dirt(
        "network-secrets",
        "supplicant",
        FAIL,
        "wpa_supplicant.conf",
        wrote("/etc/wpa_supplicant/wpa_supplicant.conf", 'network={\n  ssid="n"\n  psk="canarycanary"\n}\n'),
    ),
    Dirt(
        "network-secrets",
        "ifcfg",
        FAIL,
        "keys-home",
        wrote("/etc/sysconfig/network-scripts/keys-home", "WPA_PSK='canarycanary'\n"),
    ),
    Dirt("network-secrets", "ppp", FAIL, "chap-secrets", wrote("/etc/ppp/chap-secrets", "u * canarycanary *\n")),
    Dirt(
        "network-secrets",
        "openvpn",
        FAIL,
        "/etc/openvpn/login",
        all_of(
            wrote("/etc/openvpn/a.conf", "client\nauth-user-pass login\n"),
            wrote("/etc/openvpn/login", "u\ncanary\n"),
        ),
    ),
    Dirt("network-secrets", "ipsec", FAIL, "ipsec.secrets", wrote("/etc/ipsec.secrets", ': PSK "canarycanary"\n')),
    Dirt("network-secrets", "iwd", FAIL, "n.psk", wrote("/var/lib/iwd/n.psk", "[Security]\nPassphrase=canarycanary\n")),
    Dirt("network-secrets", "interfaces", FAIL, "w", wrote("/etc/network/interfaces.d/w", "  wpa-psk canarycanary\n")),
    Dirt(
        "vcs-leftovers", "tree", INFO, "/srv/app/.git/config", wrote("/srv/app/.git/config", "[core]\n\tbare = false\n")
    ),
    Dirt(
        "vcs-leftovers",
        "login",
        FAIL,
        "/opt/x/.git/config",
        wrote("/opt/x/.git/config", f'[remote "origin"]\n\turl = https://x:{GITHUB_TOKEN}@git.example/a.git\n'),
    ),
)

_OPEN_KEY = all_of(
    wrote("/etc/ssl/private/a.key", PRIVATE_KEY),
    changed_mode("/etc/ssl/private/a.key", 0o644),
)
# Only a disk shows owners and modes for certain.
ROOT_DIRT = (
    Dirt("file-modes", "shadow", FAIL, "/etc/shadow", changed_mode("/etc/shadow", 0o644)),
    Dirt("file-modes", "backup", FAIL, "/etc/shadow-", changed_mode("/etc/shadow-", 0o604)),
    Dirt("file-modes", "writable", FAIL, "/etc/hostname", changed_mode("/etc/hostname", 0o666)),
    Dirt("file-modes", "directory", FAIL, "/etc/netplan", changed_mode("/etc/netplan", 0o777)),
    Dirt("file-modes", "key", FAIL, "a.key", _OPEN_KEY),
    Dirt(
        "file-modes",
        "ssh-directory",
        FAIL,
        "/root/.ssh",
        all_of(
            wrote("/root/.ssh/config", ""), changed_mode("/root/.ssh", 0o755), changed_mode("/root/.ssh/config", 0o600)
        ),
    ),
    Dirt(
        "file-modes",
        "ssh-file",
        FAIL,
        "/root/.ssh/config",
        all_of(
            wrote("/root/.ssh/config", ""), changed_mode("/root/.ssh", 0o700), changed_mode("/root/.ssh/config", 0o620)
        ),
    ),
)

KIN = {
    "cli-credentials": {"build-user"},
    "file-modes": {"tls-private-keys"},
}
