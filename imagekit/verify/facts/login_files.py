"""Files in homes by which people's tools log in somewhere: where each tool keeps its login, and what makes it one.

Source: the manuals of the AWS, Azure, Google Cloud, Kubernetes, Docker, GitHub, rclone, Terraform, Vault, sops and
PostgreSQL command lines; gpg-agent(1), netrc(5), gitcredentials(7), npmrc(5).
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from imagekit.disk.tree import FileType
from imagekit.verify.facts.accounts import find_homes
from imagekit.verify.view import View, fact

_LIMIT = 256 << 10
_SETTING = r"(?im)^[^#;\n]{0,200}\b(?:%s)['\"]?\s*[:=]\s*['\"]?[^\s'\"]"
_LINE = re.compile(r"(?m)^[ \t]*[^\s#;]")
_ENTRY = re.compile(r"\"(?:auth|identitytoken|registrytoken|password)\"\s*:\s*\"[^\"]")


def _setting(*names: str) -> re.Pattern[str]:
    return re.compile(_SETTING % "|".join(names))


@dataclass(frozen=True, slots=True)
class LoginFile:
    """A login that was found: where, and whose service it opens."""

    path: str
    what: str


# Path in the home, what it opens, and what its text must have: an empty or password-less file is no login.
_FILES: tuple[tuple[str, str, re.Pattern[str]], ...] = (
    (".aws/credentials", "AWS", _LINE),
    (".kube/config", "a Kubernetes cluster", _LINE),
    (".docker/config.json", "a container registry", _ENTRY),
    (".config/containers/auth.json", "a container registry", _ENTRY),
    (".netrc", "a server (netrc)", re.compile(r"(?m)^[^#\n]{0,400}\bpassword\s+\S")),
    (".git-credentials", "a git server", _LINE),
    (".config/git/credentials", "a git server", _LINE),
    (".config/gh/hosts.yml", "GitHub", _setting("oauth_token")),
    (".config/glab-cli/config.yml", "GitLab", _setting("token")),
    (".npmrc", "a package registry", _setting("_authToken", "_auth", "_password")),
    (".pypirc", "a package registry", _setting("password")),
    (".cargo/credentials.toml", "a package registry", _setting("token")),
    (".cargo/credentials", "a package registry", _setting("token")),
    (".pgpass", "PostgreSQL", _LINE),
    (".my.cnf", "MySQL", _setting("password")),
    (".mylogin.cnf", "MySQL", re.compile(r"[^\0]")),
    (".config/rclone/rclone.conf", "a cloud storage", _LINE),
    (".s3cfg", "a cloud storage", _setting("secret_key")),
    (".terraform.d/credentials.tfrc.json", "Terraform Cloud", _setting("token")),
    (".terraformrc", "Terraform Cloud", _setting("token")),
    (".vault-token", "Vault", _LINE),
    (".config/hcloud/cli.toml", "Hetzner Cloud", _setting("token")),
    (".config/sops/age/keys.txt", "files encrypted with age", re.compile("AGE-SECRET-KEY-")),
    (".gnupg/secring.gpg", "files encrypted with GnuPG", re.compile(r"[^\0]")),
)
# Directories in which every file with one of these endings is a login.
_DIRECTORIES: tuple[tuple[str, str, tuple[str, ...]], ...] = (
    (".azure", "Azure", ("accessTokens.json", ".bin", "msal_token_cache.json", "_entries.json", "azureProfile.json")),
    (".config/gcloud", "Google Cloud", ("credentials.db", "_tokens.db", "credentials.json", "adc.json")),
    (".gnupg/private-keys-v1.d", "files encrypted with GnuPG", (".key",)),
)
_TOPS = frozenset(path.split("/")[0] for path, _, _ in (*_FILES, *_DIRECTORIES))


@fact
def read_login_files(view: View) -> tuple[LoginFile, ...]:
    """Return every login file of every home; most homes are a service's and are passed over after one look."""
    found: dict[str, LoginFile] = {}
    for home in find_homes(view):
        if _TOPS.isdisjoint(view.tree.names(home)):
            continue
        for login in (*_read_files(view, home), *_read_directories(view, home)):
            found.setdefault(login.path, login)
    return tuple(found.values())


def _read_files(view: View, home: str) -> Iterator[LoginFile]:
    for name, what, pattern in _FILES:
        text = view.text(f"{home}/{name}", _LIMIT, head=True)
        if text and pattern.search(text):
            yield LoginFile(f"{home}/{name}", what)


def _read_directories(view: View, home: str) -> Iterator[LoginFile]:
    for name, what, endings in _DIRECTORIES:
        for path, node in view.files_below(f"{home}/{name}"):
            if node.type is FileType.FILE and node.size and path.endswith(endings):
                yield LoginFile(path, what)
