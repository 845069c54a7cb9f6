"""What running once leaves behind: leases and identifiers of the network, spools of mail and jobs, dumps of crashes.

Source of the rules: systemd.network(5) and networkd.conf(5), dhclient.leases(5), dhcpcd.conf(5), NetworkManager(8),
crontab(5), at(1), the queue directories of postfix and exim4, systemd-coredump(8), core(5).
"""

import re
from collections.abc import Iterable, Iterator

from imagekit.disk.tree import FileType, Node
from imagekit.report import Severity
from imagekit.verify.check import EVERYWHERE, Check, Policy, Seen, Subject
from imagekit.verify.checks.rows import COPIED
from imagekit.verify.facts.accounts import find_homes, read_accounts
from imagekit.verify.facts.dhcp import LEASE_DIRECTORIES, NM_STATE, list_leases, read_duids
from imagekit.verify.view import CannotSee, View

_MAILBOXES = ("/var/mail", "/var/spool/mail")
# postfix: queue(8postfix); exim4: input has messages, msglog their logs.
_QUEUES = (
    *(f"/var/spool/postfix/{queue}" for queue in ("active", "deferred", "hold", "incoming", "maildrop", "corrupt")),
    *(f"/var/spool/{exim}/{queue}" for exim in ("exim4", "exim") for queue in ("input", "msglog")),
    "/var/spool/mqueue", "/var/spool/clientmqueue",
)  # fmt: skip
_JOBS = ("/var/spool/cron", "/var/spool/at", "/var/cron/tabs")
_JOB_STATE = (".SEQ", ".lockfile")
_CRASH_PLACES = (
    "/var/crash", "/var/lib/systemd/coredump", "/var/lib/systemd/pstore", "/var/spool/abrt", "/var/lib/apport/coredump",
)  # fmt: skip
_CRASH_STATE = ("kexec_cmd", "kdump_lock", ".lock")  # kdump-tools writes these on every boot
_CORE = re.compile(r"core(?:\.\d{1,10})?|core\.[\w.-]{1,200}")
_ELF_CORE = 4  # elf(5): e_type ET_CORE


def _filled(entries: Iterable[tuple[str, Node]]) -> Iterator[tuple[str, Node]]:
    return ((path, node) for path, node in entries if node.type is FileType.FILE and node.size)


def _list_homes(view: View) -> dict[str, str]:
    try:
        return find_homes(view)
    except CannotSee:  # no accounts yet
        return {"/root": "root"}


def find_mail_spool(view: View, _policy: Policy) -> Iterator[Seen]:
    """Look for mailboxes with mail in them, for mail in postfix's and exim's queues, and for dead letters."""
    seen = set()
    for place in _MAILBOXES:
        for path, node in _filled(view.children(view.tree.resolve(place) or place)):
            if path not in seen:
                seen.add(path)
                yield Seen(path, f"a mailbox of {node.size} bytes")
    for place in _QUEUES:
        for path, _ in _filled(view.files_below(place)):
            yield Seen(path, "mail that waits to be sent")
    for home in _list_homes(view):
        letter = view.tree.lstat(f"{home}/dead.letter")
        if letter is not None and letter.type is FileType.FILE and letter.size:
            yield Seen(f"{home}/dead.letter", "mail that could not be sent")


def find_cron_spool(view: View, policy: Policy) -> Iterator[Seen]:
    """Look for people's crontabs, waiting at jobs, and user units in homes that no account has."""
    for place in _JOBS:
        for path, _ in _filled(view.files_below(place)):
            name = path.rsplit("/", 1)[-1]
            if name in _JOB_STATE or name in policy.allow_users or not _has_jobs(view, path):
                continue
            yield Seen(path, "a job that would run on every clone")
    try:
        names = {account.name for account in read_accounts(view)} | set(policy.allow_users)
    except CannotSee:
        return
    for home, owner in find_homes(view).items():
        if owner in names:
            continue
        for path, node in view.files_below(f"{home}/.config/systemd/user"):
            if node.type is not FileType.DIRECTORY:
                yield Seen(path, "a unit of a user who is no more")


def _has_jobs(view: View, path: str) -> bool:
    return any(line.strip() and not line.lstrip().startswith("#") for line in view.lines(path))


def find_crash_data(view: View, _policy: Policy) -> Iterator[Seen]:
    """Look for core dumps, crash reports and kernel messages saved across a reboot."""
    for place in _CRASH_PLACES:
        for path, node in _filled(view.files_below(place)):
            if path.rsplit("/", 1)[-1] not in _CRASH_STATE:
                yield Seen(path, f"{node.size} bytes of a crash")
    for place in ("/", *_list_homes(view)):
        for name in view.tree.names(place):
            path = f"{place.rstrip('/')}/{name}"
            if _CORE.fullmatch(name) and _is_core(view, path):
                yield Seen(path, "the memory of a program that crashed")


def _is_core(view: View, path: str) -> bool:
    """Say whether a file is an ELF core dump: the magic, and the type in the byte order the header names."""
    head = view.tree.read(path, 18) or b""
    order = "big" if head[5:6] == b"\2" else "little"
    return head[:4] == b"\x7fELF" and int.from_bytes(head[16:18], order) == _ELF_CORE  # type: ignore[arg-type]  # both are literals


def find_dhcp_leases(view: View, _policy: Policy) -> Iterator[Seen]:
    """Look for leases that DHCP clients keep, and for what NetworkManager knows about networks it has seen."""
    identified = {path for path, _ in read_duids(view)}
    for path in list_leases(view):
        if path not in identified:
            yield Seen(path, "a lease, or a record of networks, of the build machine")


def find_dhcp_duid(view: View, _policy: Policy) -> Iterator[Seen]:
    """Look for a DHCP identifier that is stored or set, and so does not follow the clone's machine-id or MAC."""
    for path, what in read_duids(view):
        yield Seen(path, what)


def find_nm_secret_key(view: View, _policy: Policy) -> Iterator[Seen]:
    """Look for NetworkManager's seed of stable addresses and client identifiers."""
    for name in ("secret_key", "secret-key"):
        path = f"{NM_STATE}/{name}"
        node = view.tree.lstat(path)
        if node is not None and node.type is FileType.FILE and node.size:
            yield Seen(path, f"a seed of {node.size} bytes")


CHECKS = (
    Check(
        id="mail-spool",
        severity=Severity.WARN,
        subject=Subject.TRACES,
        why="mail of the build machine can be read on every clone, or is sent again by each of them",
        fix="`find /var/mail /var/spool/postfix /var/spool/exim4 -type f -delete; rm -f /root/dead.letter`",
        find=find_mail_spool,
        profiles=EVERYWHERE,
    ),
    Check(
        id="cron-spool",
        severity=Severity.WARN,
        subject=Subject.TRACES,
        why="jobs of the build's people run on every clone",
        fix="`rm -f /var/spool/cron/crontabs/* /var/spool/cron/atjobs/*`; put wanted jobs into /etc/cron.d",
        find=find_cron_spool,
        profiles=EVERYWHERE,
    ),
    Check(
        id="crash-data",
        severity=Severity.WARN,
        subject=Subject.TRACES,
        why="a dump holds the memory of the build machine's programs, with keys and passwords in it",
        fix=f"`rm -rf {' '.join(f'{place}/*' for place in _CRASH_PLACES)}`",
        find=find_crash_data,
        profiles=EVERYWHERE,
    ),
    Check(
        id="dhcp-leases",
        severity=Severity.WARN,
        subject=Subject.NETWORK,
        why="clones ask for the address that the build machine had",
        fix=f"`rm -f {' '.join(f'{place}/*lease*' for place in LEASE_DIRECTORIES[:3])} "
        f"{NM_STATE}/timestamps {NM_STATE}/seen-bssids`",
        find=find_dhcp_leases,
        profiles=EVERYWHERE,
    ),
    Check(
        id="dhcp-duid",
        severity=Severity.FAIL,
        subject=Subject.NETWORK,
        why="clones identify themselves alike to the DHCP server and get one lease, whatever their machine-id",
        fix="`rm -f /var/lib/dhcpcd/duid /etc/dhcpcd.duid /var/lib/dhcp/*; remove the setting`",
        find=find_dhcp_duid,
        profiles=COPIED,
    ),
    Check(
        id="nm-secret-key",
        severity=Severity.WARN,
        subject=Subject.NETWORK,
        why="stable addresses and client identifiers of all clones come from one seed",
        fix=f"`rm -f {NM_STATE}/secret_key`",
        find=find_nm_secret_key,
        profiles=COPIED,
    ),
)
