"""Credentials of people and tools: keys, tokens and logins that a build machine leaves behind.

A finding names the kind, the length and a fingerprint, so that whoever owns the secret can find out which one it is and
replace it; nobody else learns anything. A file that a narrow check here has named is not named again by a broad one.
"""

import contextlib
import re
from collections.abc import Iterator

from imagekit.report import Severity
from imagekit.verify.check import Check, Policy, Seen, Subject
from imagekit.verify.checks.rows import COPIED
from imagekit.verify.facts.login_files import read_login_files
from imagekit.verify.facts.machine_state import is_claimed
from imagekit.verify.facts.network_secrets import read_network_secrets
from imagekit.verify.facts.small_files import PLACES, SmallFiles, search_small_files
from imagekit.verify.secrets.patterns import SECRETS, Strength, find_secrets
from imagekit.verify.view import CannotSee, View

_TLS_PLACES = (
    "/etc/ssl/", "/etc/pki/", "/etc/letsencrypt/", "/etc/nginx/", "/etc/apache2/", "/etc/httpd/", "/etc/haproxy/",
    "/etc/cockpit/ws-certs.d/", "/etc/postgresql/", "/etc/postgresql-common/", "/etc/postfix/", "/etc/dovecot/",
    "/etc/exim4/", "/etc/mysql/", "/etc/caddy/", "/etc/traefik/",
)  # fmt: skip
_SNAKEOIL = "/etc/ssl/private/ssl-cert-snakeoil.key"
_POSTGRES = "/var/lib/postgresql"
_ACME_ACCOUNT = "/private_key.json"
_KEY = re.compile(r"(?m)^-----BEGIN (?:[A-Z0-9]+ ){0,3}PRIVATE KEY-----")
_KEY_LIMIT = 64 << 10
_SSH_PLACES = ("/root/", "/home/", "/opt/", "/srv/", "/etc/ssh/")
_KEY_KIND = "private key"
_HASH_KIND = "password hash"
# What other checks judge: password fields, archives' logins, histories, installers' answers.
_CLAIMED = re.compile(
    r"/etc/(?:passwd|shadow|group|gshadow)(?:[-~.].*)?|/etc/apt/auth\.conf(?:\.d/.*)?|/etc/zypp/credentials\.d/.*"
    r"|.*_hist(?:ory|file)?|.*/\.(?:lesshst|viminfo|wget-hsts)|/root/[a-z-]*ks\.cfg|/etc/ssh/ssh_host_.*"
    r"|.*/\.ssh/(?:authorized_keys|known_hosts).*"
)
_UNITS = ("/etc/systemd/system/", "/usr/local/lib/systemd/system/", "/etc/systemd/user/")
_REMOTE = re.compile(r"(?im)^[ \t]*(?:push)?url[ \t]*=[ \t]*[a-z+]{2,10}://(?!git@)[^/@\s]{1,400}@")
_MOST_UNITS = 500


def find_cli_credentials(view: View, _policy: Policy) -> Iterator[Seen]:
    """Look in every home for the files by which command line tools log in."""
    for login in read_login_files(view):
        yield Seen(login.path, f"a login for {login.what}")


def find_tls_keys(view: View, policy: Policy) -> Iterator[Seen]:
    """Look for private keys of web, mail and database servers, by content."""
    files = search_small_files(view, deep=policy.deep)
    for path in files.key_headers:
        if path == _SNAKEOIL:
            fix = "make-ssl-cert generate-default-snakeoil --force-overwrite at first boot, or rm the key"
            yield Seen(path, "the self-made key of package ssl-cert, the same on every clone", Severity.WARN, fix)
        elif path.startswith(_TLS_PLACES) and not is_claimed(view, path):
            yield Seen(path, "a private key")
    for path, node in files.entries:
        if path.startswith("/etc/letsencrypt/accounts/") and path.endswith(_ACME_ACCOUNT) and node.size:
            yield Seen(path, "the key of an ACME account")
    for path in _list_postgres_keys(view):
        if _KEY.search(view.text(path, _KEY_LIMIT) or ""):
            yield Seen(path, "a private key")
    files.need_all("/etc")


def _list_postgres_keys(view: View) -> Iterator[str]:
    """Yield PostgreSQL's default key files (``ssl_key_file``): ``VERSION/CLUSTER/server.key``; links are not keys."""
    for version, _ in view.children(_POSTGRES):
        for cluster, _ in view.children(version):
            path = f"{cluster}/server.key"
            if view.tree.lstat(path) is not None and view.tree.readlink(path) is None:
                yield path


def find_secret_strings(view: View, policy: Policy) -> Iterator[Seen]:
    """Look into text files of up to 256 KiB in /etc, /root, /home, /opt, /srv and /usr/local for tokens and keys."""
    files = search_small_files(view, deep=policy.deep)
    claimed = _list_claimed(view, files)
    for path, secrets in files.secrets.items():
        if path in claimed or _CLAIMED.fullmatch(path) or is_claimed(view, path):
            continue
        for secret in secrets:
            is_key = _KEY_KIND in secret.kind
            if is_key and path.startswith((*_TLS_PLACES, *_SSH_PLACES)):
                continue
            if secret.kind == _HASH_KIND and path.startswith("/etc/cloud/"):
                continue  # cloud-config-users judges what those files say about users
            yield Seen(path, str(secret))
    yield from _find_unit_passwords(view, files, claimed)
    files.need_all(*PLACES)


def _list_claimed(view: View, files: SmallFiles) -> set[str]:
    """Return the files about which a narrower check has spoken."""
    claimed = {secret.path for secret in read_network_secrets(view)}
    with contextlib.suppress(CannotSee):  # no accounts, so no homes
        claimed |= {login.path for login in read_login_files(view)}
    return claimed | {path for path, _, has_login in _list_repositories(view, files) if has_login}


def _find_unit_passwords(view: View, files: SmallFiles, claimed: set[str]) -> Iterator[Seen]:
    """Look at what units hand to their programs: anybody on the machine may read it (``systemctl show``)."""
    weak = tuple(pattern for pattern in SECRETS if pattern.strength is Strength.WEAK)
    units = [path for path, node in files.entries if path.startswith(_UNITS) and node.size and "." in path]
    for path in units[:_MOST_UNITS]:
        if path in claimed or path in files.secrets or not path.endswith((".service", ".conf", ".timer", ".socket")):
            continue
        for line in view.lines(path):
            if not line.lstrip().startswith("Environment="):
                continue
            for secret in find_secrets(line.encode("utf-8", "surrogateescape"), weak):
                yield Seen(path, f"Environment= with a {secret}", Severity.WARN)


def find_network_secrets(view: View, _policy: Policy) -> Iterator[Seen]:
    """Look for Wi-Fi and VPN passwords and keys in every kind of network configuration."""
    for secret in read_network_secrets(view):
        if not is_claimed(view, secret.path):  # overlay-network names whose key it is
            yield Seen(secret.path, f"holds {secret.name}")


def find_vcs_leftovers(view: View, policy: Policy) -> Iterator[Seen]:
    """Look for git work trees; one whose remote's address has a user or token in it fails."""
    files = search_small_files(view, deep=policy.deep)
    for path, place, has_login in _list_repositories(view, files):
        if has_login:
            yield Seen(path, "a remote's address with a user, password or token in it", Severity.FAIL)
        else:
            yield Seen(path, f"{place} is a git work tree")
    files.need_all("/root", "/home", "/opt", "/srv")


def _list_repositories(view: View, files: SmallFiles) -> Iterator[tuple[str, str, bool]]:
    """Yield configuration file, work tree and whether an address in it has a login (gitcredentials(7))."""
    for path, _ in files.entries:
        if path.endswith("/.git/config") and path.startswith(("/root/", "/home/", "/opt/", "/srv/", "/etc/")):
            has_login = bool(_REMOTE.search("\n".join(view.lines(path))))
            yield path, path.removesuffix("/.git/config"), has_login


CHECKS = (
    Check(
        id="cli-credentials",
        severity=Severity.FAIL,
        subject=Subject.CREDENTIALS,
        why="every clone can do in the cloud, the registry or the cluster what the build's people can",
        fix='`rm -rf "$path"`, and revoke what it holds where it was issued',
        find=find_cli_credentials,
        profiles=COPIED,
    ),
    Check(
        id="tls-private-keys",
        severity=Severity.FAIL,
        subject=Subject.CREDENTIALS,
        why="all clones share one TLS identity, and whoever has one can impersonate the others",
        fix='`rm -rf "$path"`, make one at first boot, and revoke its certificate',
        find=find_tls_keys,
        profiles=COPIED,
    ),
    Check(
        id="secret-strings",
        severity=Severity.FAIL,
        subject=Subject.CREDENTIALS,
        why="a token or key in a script or setting works from every clone, and for whoever reads the image",
        fix="remove it from the file, and replace it where it was issued",
        find=find_secret_strings,
        profiles=COPIED,
    ),
    Check(
        id="network-secrets",
        severity=Severity.FAIL,
        subject=Subject.CREDENTIALS,
        why="every clone, and whoever reads the image, can join the build's wireless network or VPN",
        fix='`rm -rf "$path"`, and change the password or key in the network',
        find=find_network_secrets,
        profiles=COPIED,
    ),
    Check(
        id="vcs-leftovers",
        severity=Severity.INFO,
        subject=Subject.CREDENTIALS,
        why="a work tree carries its history and its remotes' addresses, sometimes with a token in them",
        fix="remove the .git directory, and replace the token",
        find=find_vcs_leftovers,
        profiles=COPIED,
    ),
)
