"""Secrets and doors of the build: what an installer, a package mirror or a proxy left behind.

Source of the rules: CVE-2023-5182 and CVE-2025-14551 (installer logs), apt_auth.conf(5), apt-transport-http(1).
"""

import re
from collections.abc import Iterator

from imagekit.disk.tree import FileType
from imagekit.report import Severity
from imagekit.verify.check import Check, Policy, Seen, Subject
from imagekit.verify.evidence import HASH, PRIVATE_KEY
from imagekit.verify.facts.packages import read_apt_options, read_apt_sources
from imagekit.verify.view import View

_INSTALLER_DIRECTORIES = ("/var/log/installer", "/var/log/anaconda")
_INSTALLER_FILES = (
    "/root/anaconda-ks.cfg",
    "/root/original-ks.cfg",
    "/root/initial-setup-ks.cfg",
    "/preseed.cfg",
    "/autoinstall.yaml",
)
_IN_URL = re.compile(r"[a-z][a-z0-9+.-]*://[^\s/@:\"']+:[^\s/@\"']+@", re.IGNORECASE)
_PROXY_OPTION = re.compile(r"Acquire::(?:\w+::)?Proxy(?:::.*|-Auto-Detect)?", re.IGNORECASE)
_PROXY_VARIABLE = re.compile(
    r"^\s*(?:export\s+|Environment=\"?)?((?:https?|ftp|all)_proxy)\s*=\s*[\"']?\S", re.IGNORECASE
)
_PROXY_SETTING = re.compile(r"^\s*(proxy|https?_proxy|use_proxy)\s*=\s*(\S+)", re.IGNORECASE)


def find_installer_secrets(view: View, _policy: Policy) -> Iterator[Seen]:
    """Look for an installer's logs and answer files; hashes, keys and recovery keys in them weigh more."""
    paths = [path for directory in _INSTALLER_DIRECTORIES for path, _ in view.files_below(directory)]
    paths += [path for path in _INSTALLER_FILES if view.tree.lstat(path) is not None]
    for path in paths:
        text = view.text(path) or ""
        if "recovery-key" in path.rsplit("/", 1)[-1]:
            yield Seen(path, "a disk's recovery key")
        elif PRIVATE_KEY.search(text):
            yield Seen(path, "an installer's file with a private key in it")
        elif HASH.search(text):
            yield Seen(path, "an installer's file with a password hash in it")
        else:
            yield Seen(path, "an installer's file", Severity.WARN)


def find_repo_credentials(view: View, _policy: Policy) -> Iterator[Seen]:
    """Look for accounts at package mirrors; the text of a line is never shown."""
    auth = ["/etc/apt/auth.conf", *(path for path, _ in view.children("/etc/apt/auth.conf.d"))]
    for path in auth:
        lines = (line.split("#")[0].split() for line in view.lines(path))
        if any(lines):
            yield Seen(path, "credentials for a package archive")
    for source in read_apt_sources(view):
        if _IN_URL.search(source.uri):
            yield Seen(source.path, "a user and password in an archive's address")
    for option in read_apt_options(view):
        if _IN_URL.search(option.value):
            yield Seen(option.path, "a user and password in an address")
    others = [path for path, _ in view.children("/etc/yum.repos.d", ".repo")]
    others += [
        "/etc/pip.conf",
        "/root/.config/pip/pip.conf",
        "/root/.pip/pip.conf",
        "/root/.condarc",
        "/etc/dnf/dnf.conf",
    ]
    for path in others:
        if any(_IN_URL.search(line) or re.match(r"\s*password\s*=\s*\S", line) for line in view.lines(path)):
            yield Seen(path, "a user and password for a package archive")
    for path, node in view.children("/etc/zypp/credentials.d"):
        if node.type is FileType.FILE and node.size:
            yield Seen(path, "credentials for a package archive")


def find_build_proxy(view: View, _policy: Policy) -> Iterator[Seen]:
    """Look for a proxy in apt, dnf, wget, the environment and units."""
    for option in read_apt_options(view):
        if _PROXY_OPTION.fullmatch(option.name) and option.value.upper() not in ("", "DIRECT", "FALSE"):
            yield Seen(option.path, f"apt is told to use a proxy ({option.name})")
    environment = ["/etc/environment", *(path for path, _ in view.children("/etc/profile.d"))]
    environment += [path for path, _ in view.children("/etc/environment.d", ".conf")]
    for path, _ in view.children("/etc/systemd/system"):
        if path.endswith(".d"):
            environment += [file for file, _ in view.children(path, ".conf")]
    for path in environment:
        if any(_PROXY_VARIABLE.match(line) for line in view.lines(path)):
            yield Seen(path, "sets a proxy variable")
    for path in ("/etc/dnf/dnf.conf", "/etc/yum.conf", "/etc/wgetrc"):
        for line in view.lines(path):
            match = _PROXY_SETTING.match(line)
            if match and match.group(2).lower() not in ("_none_", "off", "on"):
                yield Seen(path, f"sets {match.group(1)}")


CHECKS = (
    Check(
        id="installer-secrets",
        severity=Severity.FAIL,
        subject=Subject.SECRETS,
        why="the installer's files hold the password hash or keys of a user who can become root",
        fix="rm -rf /var/log/installer /var/log/anaconda /root/*ks.cfg /preseed.cfg /autoinstall.yaml",
        find=find_installer_secrets,
    ),
    Check(
        id="repo-credentials",
        severity=Severity.FAIL,
        subject=Subject.SECRETS,
        why="the build's account at a package archive is handed to every clone",
        fix="remove the credentials and replace them at the archive",
        find=find_repo_credentials,
    ),
    Check(
        id="build-proxy",
        severity=Severity.WARN,
        subject=Subject.SECRETS,
        why="outside the build's network the clone can neither update nor install",
        fix="remove the setting",
        find=find_build_proxy,
    ),
)
