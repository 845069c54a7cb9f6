"""File modes: nobody but root reads passwords and keys, and nobody but root changes what the system believes.

Source of the rules: shadow(5), sshd(8) and sshd_config(5) (StrictModes), ssh(1), the packages' own modes.
"""

from collections.abc import Iterator

from imagekit.disk.tree import FileType, Node
from imagekit.report import Severity
from imagekit.verify.check import ALL_PROFILES, Check, Policy, Seen, Subject
from imagekit.verify.facts.accounts import find_homes, read_groups
from imagekit.verify.facts.small_files import search_small_files
from imagekit.verify.view import CannotSee, View

_SECRET_FILES = ("/etc/shadow", "/etc/gshadow", "/etc/shadow-", "/etc/gshadow-")
_OTHERS_ALL = 0o007
_OTHERS_READ = 0o004
_OTHERS_WRITE = 0o002
_GROUP_READ = 0o040
_GROUP_WRITE = 0o020
_GROUP_AND_OTHERS = 0o077
_STICKY = 0o1000
# Debian's group of shadow, Red Hat's of host keys, ssl-cert's of TLS keys: may read what is theirs.
_KEY_GROUPS = ("root", "ssh_keys", "ssl-cert")
_SAMPLE = ("/etc", "/var", "/var/lib", "/var/cache")


def find_modes(view: View, policy: Policy) -> Iterator[Seen]:
    """Look at the modes of password files, private keys and ``.ssh`` directories, and for /etc that all may write."""
    if not view.has_disk and _has_one_owner(view):
        raise CannotSee("all files have one owner and group: owners and modes here may not be the image's")
    groups = {name: number for name, (number, _) in read_groups(view).items()}
    files = search_small_files(view, deep=policy.deep)
    for path in _SECRET_FILES:
        node = view.tree.stat(path)
        if node is not None and node.type is FileType.FILE:
            may_read = node.gid in (0, groups.get("shadow", 0))
            if node.mode & _OTHERS_ALL or (node.mode & _GROUP_READ and not may_read) or node.mode & _GROUP_WRITE:
                yield Seen(path, f"mode {node.mode:04o}: password hashes can be read or changed by others than root")
    yield from _find_open_keys(view, files.key_headers, {groups[name] for name in _KEY_GROUPS if name in groups} | {0})
    yield from _find_open_ssh(view)
    for path, node in files.entries:
        if path.startswith("/etc/") and path not in _SECRET_FILES and _can_all_write(node):
            yield Seen(path, f"mode {node.mode:04o}: everybody may change it", fix='`chmod o-w "$path"`')
    files.need_all("/etc", "/root", "/home")


def _has_one_owner(view: View) -> bool:
    """Say whether a sample of the tree knows one owner and group only, as after an unprivileged copy."""
    owners = {(node.uid, node.gid) for place in _SAMPLE for _, node in view.children(place)}
    return len(owners) < 2


def _find_open_keys(view: View, paths: list[str], groups: set[int]) -> Iterator[Seen]:
    """A private key is for its owner; one that servers share may be read by the group made for that."""
    for path in paths:
        node = view.tree.lstat(path)
        if node is None:
            continue
        by_group = node.mode & _GROUP_AND_OTHERS & ~_OTHERS_ALL
        if node.mode & _OTHERS_ALL or (by_group and (by_group != _GROUP_READ or node.gid not in groups)):
            yield Seen(path, f"mode {node.mode:04o}: a private key for others to read", fix='`chmod 600 "$path"`')


def _find_open_ssh(view: View) -> Iterator[Seen]:
    """``/root/.ssh`` is for root alone; sshd refuses keys in a directory or file that others may write."""
    for home in find_homes(view):
        directory = f"{home}/.ssh"
        node = view.tree.lstat(directory)
        if node is None or node.type is not FileType.DIRECTORY:
            continue
        refused = _GROUP_AND_OTHERS if home == "/root" else _GROUP_WRITE | _OTHERS_WRITE
        if node.mode & refused:
            yield Seen(directory, f"mode {node.mode:04o}", fix='`chmod 700 "$path"`')
        for path, file in view.children(directory):
            if file.type is FileType.FILE and file.mode & (_GROUP_WRITE | _OTHERS_WRITE):
                yield Seen(path, f"mode {file.mode:04o}: others may change it", fix='`chmod 600 "$path"`')


def _can_all_write(node: Node) -> bool:
    if node.type is FileType.SYMLINK or not node.mode & _OTHERS_WRITE:
        return False
    return not (node.type is FileType.DIRECTORY and node.mode & _STICKY)


CHECKS = (
    Check(
        id="file-modes",
        severity=Severity.FAIL,
        subject=Subject.ACCOUNTS,
        why="any account on the clone, a service's too, can become root or take a key",
        fix="`chown root:shadow /etc/shadow /etc/gshadow && chmod 640 /etc/shadow /etc/gshadow`",
        find=find_modes,
        profiles=ALL_PROFILES,
    ),
)
