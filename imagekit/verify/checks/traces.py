"""Traces: logs, histories and temporary files that tell about the build and its people."""

from collections.abc import Iterator

from imagekit.disk.tree import FileType
from imagekit.report import Severity
from imagekit.verify.check import Check, Policy, Seen, Subject
from imagekit.verify.evidence import HASH, PRIVATE_KEY, TOKEN
from imagekit.verify.facts.accounts import find_homes
from imagekit.verify.view import View

_HISTORIES = (
    ".bash_history",
    ".zsh_history",
    ".sh_history",
    ".ash_history",
    ".local/share/fish/fish_history",
    ".python_history",
    ".psql_history",
    ".mysql_history",
    ".sqlite_history",
    ".node_repl_history",
    ".lesshst",
    ".viminfo",
    ".wget-hsts",
)
_LOGIN_LOGS = (
    "auth.log",
    "secure",
    "wtmp",
    "btmp",
    "lastlog",
    "wtmp.db",
    "lastlog2.db",
    "cloud-init.log",
    "cloud-init-output.log",
)
_LOGIN_DIRECTORIES = ("/var/log/audit/", "/var/log/sudo-io/", "/var/log/journal/")
_OTHER_CHECKS = ("/var/log/installer/", "/var/log/anaconda/")
_MOST_LOGS = 50 << 20


def find_shell_history(view: View, _policy: Policy) -> Iterator[Seen]:
    """Look for histories in every home; one with a secret in it fails."""
    for home in find_homes(view):
        for name in _HISTORIES:
            path = f"{home}/{name}"
            node = view.tree.lstat(path)
            if node is None or node.type is not FileType.FILE or node.size == 0:
                continue
            text = view.text(path) or ""
            if any(pattern.search(text) for pattern in (TOKEN, HASH, PRIVATE_KEY)):
                yield Seen(path, "a history with something like a password, token or key in it", Severity.FAIL)
            else:
                yield Seen(path, f"{len(text.splitlines())} lines of history")
        if view.tree.lstat(f"{home}/.sudo_as_admin_successful") is not None:
            yield Seen(f"{home}/.sudo_as_admin_successful", "somebody has used sudo", Severity.INFO)


def find_tmp_contents(view: View, _policy: Policy) -> Iterator[Seen]:
    """Look into the temporary directories."""
    for directory in ("/tmp", "/var/tmp"):
        for path, node in view.children(directory):
            if node.type is FileType.DIRECTORY and "/systemd-private-" in path:
                if any(view.files_below(path)):
                    yield Seen(path, "a service's private directory with files in it")
                else:
                    yield Seen(path, "an empty private directory of a service", Severity.INFO)
            else:
                yield Seen(path, f"a {node.type.value} that the build left")


def find_logs(view: View, _policy: Policy) -> Iterator[Seen]:
    """Look for log files that hold something; those that name people and addresses are warnings."""
    total = 0
    for path, node in view.files_below("/var/log"):
        if node.type is not FileType.FILE or node.size == 0 or path.startswith(_OTHER_CHECKS):
            continue
        total += node.size
        name = path.rsplit("/", 1)[-1]
        tells = name.split(".log.")[0] in _LOGIN_LOGS or path.startswith(_LOGIN_DIRECTORIES)
        tells = tells or any(name.startswith(f"{log}.") for log in _LOGIN_LOGS)
        yield Seen(path, f"{node.size} bytes", Severity.WARN if tells else Severity.INFO)
    if total > _MOST_LOGS:
        yield Seen("/var/log", f"{total >> 20} MiB of logs", Severity.WARN)


CHECKS = (
    Check(
        id="shell-history",
        severity=Severity.WARN,
        subject=Subject.TRACES,
        why="commands of the build, sometimes with passwords in them, can be read on every clone",
        fix="remove the file with HISTFILE unset",
        find=find_shell_history,
    ),
    Check(
        id="tmp-contents",
        severity=Severity.WARN,
        subject=Subject.TRACES,
        why="build scripts stay behind here, often with secrets",
        fix="empty /tmp and /var/tmp",
        find=find_tmp_contents,
    ),
    Check(
        id="logs",
        severity=Severity.WARN,
        subject=Subject.TRACES,
        why="logs name people, addresses and commands of the build",
        fix="truncate the files under /var/log, remove /var/log/journal/*",
        find=find_logs,
    ),
)
