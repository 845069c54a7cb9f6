"""sshd's policy: it starts, nobody gets in with a password, and what was written to close it has an effect.

Source of the rules: sshd(8), sshd_config(5), cloud-init's ``ssh_util.py``, Debian's openssh-server units. What sshd
accepts was measured with OpenSSH 9.2p1 and 10.0p1.
"""

from collections.abc import Iterator

from imagekit.report import Severity
from imagekit.verify.check import CLONES_TOO, Check, Policy, Profile, Seen, Subject
from imagekit.verify.facts.accounts import has_password, read_accounts
from imagekit.verify.facts.cloud_config import find_switches, is_installed, is_off, read_cloud_config
from imagekit.verify.facts.sshd import MAIN_FILE, Line, read_sshd_policy
from imagekit.verify.facts.sshd_keywords import NOT_IN_MATCH, REPEATABLE, VALUES, is_keyword
from imagekit.verify.facts.units import find_unit, is_enabled
from imagekit.verify.view import CannotSee, View

_SSH = "/etc/ssh"
_DROP_INS = "/etc/ssh/sshd_config.d"
_SERVICES = ("ssh.service", "sshd.service")
_SOCKETS = ("ssh.socket", "sshd.socket")
_DOORS = ("passwordauthentication", "kbdinteractiveauthentication", "permitrootlogin", "permitemptypasswords")
_ROOT_BY_KEY = ("prohibit-password", "without-password", "forced-commands-only")


def find_password_login(view: View, _policy: Policy) -> Iterator[Seen]:
    """Look at what sshd would decide about passwords, and whether any account has one."""
    setting = read_sshd_policy(view).allows_passwords()
    if setting is None:
        return
    holders = [account.name for account in read_accounts(view) if account.can_log_in and has_password(view, account)]
    if holders:
        yield Seen(setting.path, f"passwords are accepted, and {', '.join(holders[:5])} can use one")
        return
    try:
        mended = is_off(read_cloud_config(view).get("ssh_pwauth")) and is_installed(view) and not find_switches(view)
    except CannotSee:
        mended = False
    severity = Severity.INFO if mended else Severity.WARN
    yield Seen(setting.path, "passwords are accepted; no account has a usable one now", severity)


def find_root_login(view: View, _policy: Policy) -> Iterator[Seen]:
    """Look at the effective ``PermitRootLogin``."""
    setting = read_sshd_policy(view).get("permitrootlogin")
    match setting.value.lower():
        case "yes":
            yield Seen(setting.path, "PermitRootLogin yes")
        case "prohibit-password" | "without-password":
            yield Seen(setting.path, f"PermitRootLogin {setting.value}: root may log in with a key", Severity.INFO)


def find_empty_passwords(view: View, _policy: Policy) -> Iterator[Seen]:
    """Look at the effective ``PermitEmptyPasswords``, in ``Match`` blocks too."""
    policy = read_sshd_policy(view)
    settings = [policy.get("permitemptypasswords")]
    settings += [block.settings[key] for block in policy.blocks if (key := "permitemptypasswords") in block.settings]
    for setting in settings:
        if setting.value.lower() == "yes":
            yield Seen(setting.path, "PermitEmptyPasswords yes")


def find_shadowed_settings(view: View, _policy: Policy) -> Iterator[Seen]:
    """Look for values that have no effect because an earlier file or line has set the keyword.

    That a drop-in beats a default of the main file is what drop-ins are for; it is reported only where the main file
    closes a door that the drop-in opens. A drop-in that opens what an earlier one has closed is told, no more.
    """
    sshd = read_sshd_policy(view)
    if MAIN_FILE not in {line.path for line in sshd.lines if line.keyword == "include"}:
        for path, _ in view.children(_DROP_INS, ".conf"):
            if view.is_file(path) and path not in sshd.files:
                yield Seen(path, f"has no effect: {MAIN_FILE} has no Include line for it")
    first: dict[str, Line] = {}
    for line in sshd.lines:
        if line.in_match or line.keyword in REPEATABLE:
            continue
        winner = first.setdefault(line.keyword, line)
        if line.value.lower() == winner.value.lower():
            continue
        is_door = line.keyword in _DOORS
        if line.path == MAIN_FILE and winner.path != MAIN_FILE and not (is_door and line.value.lower() == "no"):
            continue
        found = f"{line.keyword} {line.value[:40]} has no effect: {winner.path} sets {winner.value[:40]} before it"
        is_closed = is_door and winner.value.lower() == "no"
        yield Seen(line.path, found, Severity.INFO if is_closed else None)


def find_match_blocks(view: View, _policy: Policy) -> Iterator[Seen]:
    """Look for ``Match`` blocks that turn on passwords, root's password, or root where the rest keeps it out."""
    sshd = read_sshd_policy(view)
    keeps_root_out = sshd.get("permitrootlogin").value.lower() == "no"
    for block in sshd.blocks:
        if block.settings and sshd.allows_passwords(block):
            yield Seen(block.path, f"Match {block.criteria}: passwords are accepted")
        root = block.settings.get("permitrootlogin")
        if root is not None and (
            root.value.lower() == "yes" or (keeps_root_out and root.value.lower() in _ROOT_BY_KEY)
        ):
            yield Seen(block.path, f"Match {block.criteria}: PermitRootLogin {root.value}")


def find_invalid_config(view: View, _policy: Policy) -> Iterator[Seen]:
    """Look for what makes sshd end at once: words it does not know, missing values, included links to nowhere."""
    sshd = read_sshd_policy(view)
    for path, included in sshd.unread:
        yield Seen(path, f"includes {included}, which cannot be read")
    subsystems: set[str] = set()
    for line in sshd.lines:
        place = f"line {line.number}: "
        words = line.value.split()
        if not is_keyword(view, line.keyword):
            yield Seen(line.path, f"{place}there is no keyword {line.keyword[:40]}")
        elif not words:
            yield Seen(line.path, f"{place}{line.keyword} has no value")
        elif line.in_match and line.keyword in NOT_IN_MATCH:
            yield Seen(line.path, f"{place}{line.keyword} may not stand under Match")
        elif line.keyword in VALUES and (len(words) > 1 or words[0].lower() not in VALUES[line.keyword]):
            yield Seen(line.path, f"{place}{line.keyword} cannot be {line.value[:40]}")
        elif line.keyword == "subsystem" and not line.in_match:
            if words[0] in subsystems:
                yield Seen(line.path, f"{place}subsystem {words[0][:40]} is defined twice")
            subsystems.add(words[0])


def find_server_disabled(view: View, _policy: Policy) -> Iterator[Seen]:
    """Look whether boot starts the SSH server, as a service or through its socket."""
    if not view.is_file("/usr/sbin/sshd"):
        yield Seen("/usr/sbin/sshd", "there is no SSH server")
        return
    if view.exists(f"{_SSH}/sshd_not_to_be_run"):
        yield Seen(f"{_SSH}/sshd_not_to_be_run", "the file exists: Debian's unit does not start sshd")
    if is_enabled(view, *_SERVICES, *_SOCKETS):
        service = next((unit for name in _SERVICES if (unit := find_unit(view, name)) is not None), None)
        if service is not None and service.masked:
            yield Seen(service.path, f"{service.name} is masked")
        return
    unit = next((unit for name in _SERVICES if (unit := find_unit(view, name)) is not None), None)
    what = "there is no unit for it" if unit is None else "masked" if unit.masked else "not enabled, nor is its socket"
    yield Seen(unit.path if unit else "/usr/lib/systemd/system/ssh.service", what)


CHECKS = (
    Check(
        id="sshd-password-login",
        severity=Severity.FAIL,
        subject=Subject.SSH,
        why="passwords are guessed by machines that do nothing else",
        fix=(
            "`printf '%s no\\n' PasswordAuthentication KbdInteractiveAuthentication > "
            "/etc/ssh/sshd_config.d/00-no.conf`"
        ),
        find=find_password_login,
        profiles=CLONES_TOO,
    ),
    Check(
        id="sshd-root-login",
        severity=Severity.FAIL,
        subject=Subject.SSH,
        why="whoever guesses or steals root's secret has the whole machine, and no log says who it was",
        fix="`echo PermitRootLogin no > /etc/ssh/sshd_config.d/00-root.conf`",
        find=find_root_login,
        profiles=CLONES_TOO,
    ),
    Check(
        id="sshd-empty-passwords",
        severity=Severity.FAIL,
        subject=Subject.SSH,
        why="an account with an empty password field is open to everybody",
        fix="`sed -i '/^[[:space:]]*PermitEmptyPasswords/Id' /etc/ssh/sshd_config /etc/ssh/sshd_config.d/*.conf`",
        find=find_empty_passwords,
        profiles=CLONES_TOO,
    ),
    Check(
        id="sshd-shadowed-setting",
        severity=Severity.WARN,
        subject=Subject.SSH,
        why="sshd keeps the first value it reads, so what was written to harden it does nothing",
        fix="`mv /etc/ssh/sshd_config.d/NAME.conf /etc/ssh/sshd_config.d/00-NAME.conf`, the first value wins",
        find=find_shadowed_settings,
        profiles=CLONES_TOO,
    ),
    Check(
        id="sshd-match",
        severity=Severity.WARN,
        subject=Subject.SSH,
        why="the block opens for some what the rest of the configuration closes, and sshd -T does not show it",
        fix="remove the block",
        find=find_match_blocks,
        profiles=CLONES_TOO,
    ),
    Check(
        id="sshd-config-valid",
        severity=Severity.FAIL,
        subject=Subject.SSH,
        why="sshd does not start on any clone",
        fix="`ssh-keygen -A; sshd -t; rm -f /etc/ssh/ssh_host_*`, sshd -t names the line and needs host keys",
        find=find_invalid_config,
        profiles=CLONES_TOO,
    ),
    Check(
        id="ssh-enabled",
        severity=Severity.FAIL,
        subject=Subject.SSH,
        why="there is no way into the clone",
        fix="`systemctl unmask ssh; systemctl enable ssh`",
        find=find_server_disabled,
        profiles=(Profile.TEMPLATE, Profile.CLONE),
    ),
)
