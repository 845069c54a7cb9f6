"""Traces: logs, histories and temporary files that tell about the build and its people."""

from collections.abc import Iterator

from imagekit.disk.tree import FileType
from imagekit.report import Severity
from imagekit.verify.check import Check, Policy, Seen, Subject
from imagekit.verify.checks.rows import COPIED
from imagekit.verify.evidence import HASH, PRIVATE_KEY
from imagekit.verify.facts.accounts import find_homes
from imagekit.verify.secrets.patterns import SECRETS, find_secrets
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
    "faillog",
    "maillog",
    "mail.log",
)
_LOGIN_DIRECTORIES = ("/var/log/audit/", "/var/log/sudo-io/", "/var/log/wtmpdb/")
# Databases outside of /var/log, made at the first login. Debian 13 has the first in /var/log, and a link to it here.
_LOGIN_DATABASES = ("/var/lib/wtmpdb/wtmp.db", "/var/lib/lastlog/lastlog2.db")
_LINKS_TO_LOGS = ("../../log/wtmp.db", "/var/log/wtmp.db")
_OTHER_CHECKS = ("/var/log/installer/", "/var/log/anaconda/", "/var/log/journal/", "/var/log/cloud-init")
_JOURNALS = ("/var/log/journal", "/run/log/journal")
_MOST_SECRETS = 20
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
            secrets = tuple(find_secrets(text.encode("utf-8", "surrogateescape"), SECRETS))
            for secret in secrets[:_MOST_SECRETS]:
                yield Seen(path, f"a history with a {secret}", Severity.FAIL)
            if not secrets and any(pattern.search(text) for pattern in (HASH, PRIVATE_KEY)):
                yield Seen(path, "a history with something like a password, token or key in it", Severity.FAIL)
            elif not secrets:
                yield Seen(path, f"{len(text.splitlines())} lines of history")
        if view.tree.lstat(f"{home}/.sudo_as_admin_successful") is not None:
            yield Seen(f"{home}/.sudo_as_admin_successful", "somebody has used sudo", Severity.INFO)


def find_tmp_contents(view: View, _policy: Policy) -> Iterator[Seen]:
    """Look into the temporary directories, and into Ansible's in homes."""
    for directory in ("/tmp", "/var/tmp"):
        for path, node in view.children(directory):
            if node.type is FileType.DIRECTORY and "/systemd-private-" in path:
                if any(view.files_below(path)):
                    yield Seen(path, "a service's private directory with files in it")
                else:
                    yield Seen(path, "an empty private directory of a service", Severity.INFO)
            elif node.type is FileType.DIRECTORY and path.rsplit("/", 1)[-1] == "lost+found":
                continue  # a filesystem of its own
            elif node.type is FileType.DIRECTORY and not any(view.files_below(path)):
                # Any boot leaves some: tmpfiles.d/x11.conf makes .X11-unix and its like, cloud-init its own.
                yield Seen(path, "a directory without a file in it", Severity.INFO)
            else:
                yield Seen(path, f"a {node.type.value} that the build left")
    for home in find_homes(view):
        for path, _ in view.children(f"{home}/.ansible/tmp"):
            yield Seen(path, "a directory of Ansible's modules and their arguments")


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
    for path in _LOGIN_DATABASES:
        if view.tree.readlink(path) in _LINKS_TO_LOGS:  # the file itself was seen above
            continue
        database = view.tree.stat(path)
        if database is not None and database.type is FileType.FILE and database.size:
            yield Seen(path, f"{database.size} bytes", fix='`rm -f "$path"`')


def find_journal(view: View, _policy: Policy) -> Iterator[Seen]:
    """Look for journals; vacuuming leaves the active one, in a directory named by the machine-id of that time."""
    for place in _JOURNALS:
        found: dict[str, tuple[int, int]] = {}
        for path, node in view.files_below(place):
            name = path.rsplit("/", 1)[-1]
            # A journal that was not closed is renamed with a tilde; before compaction it was plain.
            if node.type is FileType.FILE and node.size and name.endswith((".journal", ".journal~")):
                directory = path.rpartition("/")[0]
                count, size = found.get(directory, (0, 0))
                found[directory] = count + 1, size + node.size
        for directory, (count, size) in found.items():
            yield Seen(directory, f"{count} journal files, {size >> 10} KiB")


CHECKS = (
    Check(
        id="shell-history",
        severity=Severity.WARN,
        subject=Subject.TRACES,
        why="commands of the build, sometimes with passwords in them, can be read on every clone",
        fix="`unset HISTFILE; rm -f /root/.*_history /home/*/.*_history`",
        find=find_shell_history,
        profiles=COPIED,
    ),
    Check(
        id="tmp-contents",
        severity=Severity.WARN,
        subject=Subject.TRACES,
        why="build scripts stay behind here, often with secrets",
        fix="`find /tmp /var/tmp -mindepth 1 -delete`",
        find=find_tmp_contents,
        profiles=COPIED,
    ),
    Check(
        id="logs",
        severity=Severity.WARN,
        subject=Subject.TRACES,
        why="logs name people, addresses and commands of the build",
        fix="`find /var/log -type f -not -path '/var/log/journal/*' -exec truncate -s 0 {} +`",
        find=find_logs,
        profiles=COPIED,
    ),
    Check(
        id="journal",
        severity=Severity.WARN,
        subject=Subject.TRACES,
        why="the journal names people, addresses and commands of the build, and files every message under the old id",
        fix="`journalctl --flush --rotate; journalctl --vacuum-time=1s; rm -rf /var/log/journal/*`",
        find=find_journal,
        profiles=COPIED,
    ),
)
