"""SSH keys of people and of the build: who may enter, which keys are carried along, whom the build has talked to.

Source of the rules: sshd(8), Packer's ``step_cleanup_temp_keys.go``, Vagrant's ``keys/``.
"""

import re
from collections.abc import Iterator

from imagekit.report import Severity
from imagekit.verify.check import (
    CLONES_TOO,
    EVERYWHERE,
    Check,
    Policy,
    Profile,
    Seen,
    Subject,
)
from imagekit.verify.evidence import PublicKey, read_public_key
from imagekit.verify.facts.accounts import find_homes
from imagekit.verify.facts.host_keys import list_host_keys
from imagekit.verify.facts.small_files import search_small_files
from imagekit.verify.facts.sshd import read_sshd_policy
from imagekit.verify.view import CannotSee, View

_SSH = "/etc/ssh"
_KEY_PLACES = ("/root/", "/home/", f"{_SSH}/", "/opt/", "/srv/")
_MOST_PATTERNS = 16
# The option of a line that decides what its key may do (sshd(8)); cloud-init writes one for root that only says no.
_FORCED = re.compile(r'\s*(?:[\w-]+(?:="[^"]*")?,)*command="', re.IGNORECASE)
# SHA-256 fingerprints of the two key pairs that Vagrant publishes, private halves included (its keys/ directory).
_PUBLISHED = (
    "SHA256:1M4RzhMyWuFS/86uPY/ce2prh/dVTHW7iD2RhpquOZA",
    "SHA256:WkvqjnyPAeC0cbPErYiGP9vqHdgL1MqqvPdIe3lvHgI",
)


def find_authorized_keys(view: View, policy: Policy) -> Iterator[Seen]:
    """Look for key lines wherever sshd or a person would look for them.

    A machine that runs has keys; there, only those of a build are wrong. Vagrant's published keys are wrong even for an
    account that the definition names.
    """
    for path, owner in _list_key_files(view).items():
        for line in view.lines(path):
            if not line.strip() or line.lstrip().startswith("#"):
                continue
            key = read_public_key(line)
            builder = _name_builder(key)
            if _is_published(key) or (builder and owner not in policy.allow_users):
                yield Seen(path, f"lets in {builder}: {key}")
            elif owner not in policy.allow_users and policy.profile is not Profile.CLONE:
                forced = ", for one command only" if _FORCED.match(line) else ""
                yield Seen(path, f"lets in {key or 'an unknown kind of key'}{forced}")


def _list_key_files(view: View) -> dict[str, str]:
    """Return each file that may hold authorized keys, and whose."""
    paths: dict[str, str] = {}
    homes = find_homes(view)
    for home, owner in homes.items():
        for path, _ in view.children(f"{home}/.ssh"):
            if path.rsplit("/", 1)[-1].startswith("authorized_keys"):
                paths.setdefault(path, owner)
    for path, _ in view.children(f"{_SSH}/authorized_keys.d"):
        paths.setdefault(path, path.rsplit("/", 1)[-1])
    try:
        sshd = read_sshd_policy(view)
    except CannotSee:
        return paths
    values = [sshd.get("authorizedkeysfile").value]
    values += [block.settings[key].value for block in sshd.blocks if (key := "authorizedkeysfile") in block.settings]
    patterns = dict.fromkeys(word for value in values for word in value.split() if word != "none")
    for pattern in list(patterns)[:_MOST_PATTERNS]:
        for home, owner in homes.items():
            path = pattern.replace("%h", home).replace("%u", owner).replace("%%", "%")
            paths.setdefault(path if path.startswith("/") else f"{home}/{path}", owner)
    return paths


def _is_published(key: PublicKey | None) -> bool:
    return key is not None and key.fingerprint in _PUBLISHED


def _name_builder(key: PublicKey | None) -> str:
    """Say whose key it is when it comes from a build, by its fingerprint or comment; empty for other keys."""
    if key is None:
        return ""
    if _is_published(key):
        return "everybody, with Vagrant's published key"
    comment = key.comment.lower()
    if comment.startswith("packer"):
        return "Packer, with its temporary key"
    return "the build machine" if comment.startswith(("root@build", "root@packer", "builder@")) else ""


def find_private_keys(view: View, policy: Policy) -> Iterator[Seen]:
    """Look for private keys, by content, in homes and where deployments put them; host keys have their own check.

    A file that is called as keys are needs a key's first line only; any other needs a whole key, since programs and
    manuals have that line too.
    """
    host_keys = list_host_keys(view)
    files = search_small_files(view, deep=policy.deep)
    whole = {path for path, secrets in files.secrets.items() if any("private key" in each.kind for each in secrets)}
    for path in dict.fromkeys((*files.key_headers, *whole)):
        name = path.rsplit("/", 1)[-1]
        is_called_key = name.startswith("id_") or name.endswith((".pem", ".key")) or "/.ssh/" in path
        if path.startswith(_KEY_PLACES) and path not in host_keys and (is_called_key or path in whole):
            yield Seen(path, "a private key")
    files.need_all("/root", "/home", _SSH, "/opt", "/srv")


def find_known_hosts(view: View, _policy: Policy) -> Iterator[Seen]:
    """Look for the machines that the build has talked to: homes' ``known_hosts``, and the one for everybody."""
    for home in find_homes(view):
        for path, _ in view.children(f"{home}/.ssh"):
            if path.rsplit("/", 1)[-1].startswith("known_hosts") and (count := _count_hosts(view, path)):
                yield Seen(path, f"{count} known hosts")
    for path in (f"{_SSH}/ssh_known_hosts", f"{_SSH}/ssh_known_hosts2"):
        if count := _count_hosts(view, path):
            yield Seen(path, f"{count} known hosts", Severity.INFO)


def _count_hosts(view: View, path: str) -> int:
    return sum(1 for line in view.lines(path) if line.strip() and not line.lstrip().startswith("#"))


CHECKS = (
    Check(
        id="authorized-keys",
        severity=Severity.FAIL,
        subject=Subject.SSH,
        why="whoever holds the build's key can log in to every clone",
        fix="`rm -f /root/.ssh/authorized_keys* /home/*/.ssh/authorized_keys*`, clones get their keys from cloud-init",
        find=find_authorized_keys,
        profiles=CLONES_TOO,  # a card's keys are in its configuration, and there must be one: sd-access
    ),
    Check(
        id="private-keys",
        severity=Severity.FAIL,
        subject=Subject.SSH,
        why="a key of the builder is handed to every clone",
        fix="`rm -f /root/.ssh/id_* /home/*/.ssh/id_*`, and replace the key wherever it is accepted",
        find=find_private_keys,
        profiles=(*EVERYWHERE, Profile.SD_IMAGE),
    ),
    Check(
        id="known-hosts",
        severity=Severity.WARN,
        subject=Subject.SSH,
        why="a map of the build's network is handed to whoever gets a clone",
        fix="`rm -f /root/.ssh/known_hosts* /home/*/.ssh/known_hosts* /etc/ssh/ssh_known_hosts*`",
        find=find_known_hosts,
        profiles=(*EVERYWHERE, Profile.SD_IMAGE),
    ),
)
