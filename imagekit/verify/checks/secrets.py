"""Secrets and doors of the build: what an installer, a package mirror or a proxy left behind.

Source of the rules: CVE-2023-5182 and CVE-2025-14551 (installer logs), apt_auth.conf(5), apt-transport-http(1).
"""

import re
from collections.abc import Iterator

from imagekit.disk.tree import FileType
from imagekit.report import Severity
from imagekit.verify.check import ALL_PROFILES, Check, Policy, Seen, Subject
from imagekit.verify.checks.rows import COPIED
from imagekit.verify.evidence import HASH, PRIVATE_KEY
from imagekit.verify.facts.accounts import find_homes
from imagekit.verify.facts.packages import read_apt_options, read_apt_sources
from imagekit.verify.secrets.patterns import find_secrets
from imagekit.verify.view import View

_INSTALLER_DIRECTORIES = ("/var/log/installer", "/var/log/anaconda")
_INSTALLER_FILES = (
    "/root/anaconda-ks.cfg",
    "/root/original-ks.cfg",
    "/root/initial-setup-ks.cfg",
    "/preseed.cfg",
    "/autoinstall.yaml",
)
_LIMIT = 256 << 10
_IN_URL = re.compile(r"[a-z][a-z0-9+.-]*://[^\s/@:\"']+:[^\s/@\"']+@", re.IGNORECASE)
_PROXY_OPTION = re.compile(r"Acquire::(?:\w+::)?Proxy(?:::.*|-Auto-Detect)?", re.IGNORECASE)
_PROXY_VARIABLE = re.compile(
    r"^\s*(?:export\s+|declare\s+-x\s+|setenv\s+|(?:Default)?Environment=(?:.*[\"'\s])?[\"']?)?"
    r"(?:https?|ftp|all)_proxy\s*[=\s]\s*[\"']?[^\s\"']",
    re.IGNORECASE,
)
_PROXY_SETTING = re.compile(r"^\s*(proxy|https?_proxy)\s*=\s*([^\s\"']+)", re.IGNORECASE)
_DOCKER_PROXY = re.compile(r"\"https?-?proxy\"\s*:\s*\"[^\"]", re.IGNORECASE)
# Answers in clear text: debian-installer's preseed, kickstart, autoinstall.
_ANSWER = re.compile(
    r"^[ \t]*(?:[\w-]+[ \t]+)?passwd/(?:root|user)-password(?:-crypted|-again)?[ \t]+password[ \t]+\S"
    r"|^[ \t]*rootpw[ \t]+(?:--plaintext[ \t]+|--iscrypted[ \t]+)?[^\s-]|^[ \t]*user\s.*--password=\S"
    r"|^[ \t]*(?:password|passwd|psk|plain_text_passwd)[ \t]*:[ \t]*[\"']?[^\s\"'*!]|^Value:\s*\$[0-9a-z]{1,2}\$",
    re.MULTILINE,
)
_PIP = ("/etc/pip.conf", "/etc/xdg/pip/pip.conf", "/etc/conda/.condarc", "/etc/conda/condarc")
_HOME_CONFIGS = (".config/pip/pip.conf", ".pip/pip.conf", ".condarc", ".config/uv/uv.toml")
_RPM_PLACES = ("/etc/yum.repos.d", "/etc/zypp/repos.d")
_RPM_FILES = ("/etc/dnf/dnf.conf", "/etc/yum.conf")
_PASSWORD = re.compile(r"\s*(?:proxy_)?password\s*=\s*\S")
_WGET_PASSWORD = re.compile(r"\s*(?:https?_|ftp_|proxy_)?password\s*=\s*\S", re.IGNORECASE)


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
        elif HASH.search(text) or _ANSWER.search(text):
            yield Seen(path, "an installer's file with a password or its hash in it")
        elif secrets := tuple(find_secrets(text.encode("utf-8", "surrogateescape"))):
            yield Seen(path, f"an installer's file with a {secrets[0]}")
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
    others = [path for place in _RPM_PLACES for path, _ in view.children(place, ".repo")]
    others += [*_RPM_FILES, *_PIP, *(f"{home}/{name}" for home in find_homes(view) for name in _HOME_CONFIGS)]
    for path in others:
        if any(_IN_URL.search(line) or _PASSWORD.match(line) for line in view.lines(path)):
            yield Seen(path, "a user and password for a package archive")
    for path in _list_environments(view):
        if any(_PROXY_VARIABLE.match(line) and _IN_URL.search(line) for line in view.lines(path)):
            yield Seen(path, "a user and password in a proxy's address")
    if any(_WGET_PASSWORD.match(line) or _IN_URL.search(line) for line in _read_settings(view, "/etc/wgetrc")):
        yield Seen("/etc/wgetrc", "a user and password for a server or proxy")
    for path, node in view.children("/etc/zypp/credentials.d"):
        if node.type is FileType.FILE and node.size:
            yield Seen(path, "credentials for a package archive")


def find_build_proxy(view: View, _policy: Policy) -> Iterator[Seen]:
    """Look for a proxy in apt, dnf, wget, the environment and units."""
    for option in read_apt_options(view):
        if _PROXY_OPTION.fullmatch(option.name) and option.value.upper() not in ("", "DIRECT", "FALSE"):
            yield Seen(option.path, f"apt is told to use a proxy ({option.name})")
    for path in _list_environments(view):
        if any(_PROXY_VARIABLE.match(line) for line in view.lines(path)):
            yield Seen(path, "sets a proxy variable")
    for path in (*_RPM_FILES, "/etc/wgetrc", "/etc/pip.conf"):
        for line in view.lines(path):
            match = _PROXY_SETTING.match(line)
            if match and match.group(2).lower() not in ("_none_", "off", "on"):
                yield Seen(path, f"sets {match.group(1)}")
    for path in ("/etc/docker/daemon.json", *(f"{home}/.docker/config.json" for home in find_homes(view))):
        if _DOCKER_PROXY.search(view.text(path, _LIMIT) or ""):
            yield Seen(path, "tells containers to use a proxy")


def _list_environments(view: View) -> list[str]:
    """Return the files that set variables for logins and for services: environment(5), profile(5), units, managers."""
    paths = ["/etc/environment", "/etc/profile", "/etc/bash.bashrc", "/etc/default/docker", "/etc/systemd/system.conf"]
    paths += [path for path, _ in view.children("/etc/profile.d")]
    for directory in ("/etc/environment.d", "/etc/systemd/system.conf.d", "/etc/systemd/user.conf.d"):
        paths += [path for path, _ in view.children(directory, ".conf")]
    for path, node in view.children("/etc/systemd/system"):
        if path.endswith(".d"):
            paths += [file for file, _ in view.children(path, ".conf")]
        elif path.endswith(".service") and node.type is FileType.FILE:
            paths.append(path)
    return paths


def _read_settings(view: View, path: str) -> list[str]:
    return [line for line in view.lines(path) if not line.lstrip().startswith("#")]


CHECKS = (
    Check(
        id="installer-secrets",
        severity=Severity.FAIL,
        subject=Subject.SECRETS,
        why="the installer's files hold the password hash or keys of a user who can become root",
        fix="`rm -rf /var/log/installer /var/log/anaconda /root/*ks.cfg /preseed.cfg /autoinstall.yaml`",
        find=find_installer_secrets,
        profiles=ALL_PROFILES,
    ),
    Check(
        id="repo-credentials",
        severity=Severity.FAIL,
        subject=Subject.SECRETS,
        why="the build's account at a package archive is handed to every clone",
        fix="`rm -f /etc/apt/auth.conf /etc/apt/auth.conf.d/*`, and replace the password at the archive",
        find=find_repo_credentials,
        profiles=COPIED,
    ),
    Check(
        id="build-proxy",
        severity=Severity.WARN,
        subject=Subject.SECRETS,
        why="outside the build's network the clone can neither update nor install",
        fix="`rm -f /etc/apt/apt.conf.d/*proxy*`, and remove the other settings named here",
        find=find_build_proxy,
        profiles=COPIED,
    ),
)
