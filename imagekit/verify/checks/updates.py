"""How a clone is kept up to date: holds, ages, kernels, timers, clocks, and whose certificates it trusts.

Source of the rules: apt_preferences(5), dnf.conf(5) with its plugin versionlock, unattended-upgrades' README,
systemd-timesyncd.service(8), adjtime(5), update-ca-certificates(8).
"""

import re
from collections.abc import Iterator
from datetime import UTC, date, datetime

from imagekit.disk.packages.dpkg import STATUS_PATH, read_dpkg_packages
from imagekit.disk.packages.read import PackageKind, read_packages
from imagekit.disk.tree import FileType
from imagekit.report import Severity
from imagekit.verify.check import CLONES_TOO, EVERYWHERE, Check, Policy, Profile, Seen, Subject
from imagekit.verify.facts.boot_entries import read_default_entry
from imagekit.verify.facts.packages import read_apt_options, read_package_states
from imagekit.verify.facts.pins import Pin, find_excluded_share, read_apt_pins, read_excluded_packages
from imagekit.verify.facts.units import DIRECTORIES, Unit, find_unit, is_enabled
from imagekit.verify.view import CannotSee, View

_OLD_DAYS = 30
_DATABASES = (
    STATUS_PATH,
    "/usr/lib/sysimage/rpm/rpmdb.sqlite",
    "/var/lib/rpm/rpmdb.sqlite",
    "/var/lib/rpm/Packages.db",
    "/var/lib/rpm/Packages",
    "/usr/lib/apk/db/installed",
    "/lib/apk/db/installed",
)
_MANAGERS = ("/etc/apt", "/etc/dnf", "/etc/yum.conf")
_TIMERS = ("apt-daily.timer", "apt-daily-upgrade.timer")
_DNF_TIMERS = ("dnf-automatic.timer", "dnf-automatic-install.timer", "dnf5-automatic.timer")
_CLOCKS = (
    "systemd-timesyncd.service", "chrony.service", "chronyd.service", "ntp.service", "ntpd.service", "ntpsec.service",
    "openntpd.service",
)  # fmt: skip
_ZONES = "/usr/share/zoneinfo"
_ANCHORS = (
    "/usr/local/share/ca-certificates",
    "/etc/pki/ca-trust/source/anchors",
    "/etc/ca-certificates/trust-source/anchors",
    "/etc/pki/trust/anchors",
)
_ARCHITECTURE = re.compile(r"-(?=[a-z])|\.(?=x86|aarch|ppc|s390|riscv)")
_APPLY = re.compile(r"apply_updates[ \t]*=[ \t]*(?:yes|true|1)\b", re.IGNORECASE)
_CERTIFICATE = re.compile(r"-----BEGIN (?:TRUSTED |X509 )?CERTIFICATE-----([A-Za-z0-9+/=\s]+)-----END")


def find_package_holds(view: View, _policy: Policy) -> Iterator[Seen]:
    """Look for packages that apt or dnf will not update: holds, pins to a version, pins against security, excludes."""
    if not any(view.exists(path) for path in (*_DATABASES, *_MANAGERS)):
        raise CannotSee("there is no package database")
    held = [name for name, status in read_package_states(view).items() if status.split()[0] == "hold"]
    if held:
        total = len(read_dpkg_packages(view.tree))
        if 2 * len(held) > total:
            yield Seen(STATUS_PATH, f"{len(held)} of {total} packages are held", Severity.FAIL)
        else:
            for name in held:
                yield Seen(STATUS_PATH, f"{name} is held", fix=f"apt-mark unhold {name}")
    for pin in read_apt_pins(view):
        if found := _judge_pin(pin):
            yield Seen(pin.path, found, fix="remove the stanza from the file")
    excluded = read_excluded_packages(view)
    if excluded:
        packages = read_packages(view.tree)
        share = find_excluded_share((text for _, text in excluded), (package.name for package in packages.packages))
        severity = Severity.FAIL if packages.kind is PackageKind.RPM and share > 0.5 else None
        for path, text in excluded:
            yield Seen(path, f"{text} is not updated", severity, "remove the exclusion from the file")


def _judge_pin(pin: Pin) -> str:
    """Say what a pin keeps from being updated; those that merely prefer one archive to another do no harm."""
    if pin.what.startswith("version") and pin.priority >= 500 and pin.packages != "*":
        return f"{pin.packages} is pinned to {pin.what}"
    if pin.priority < 0 and "security" in pin.what.lower() and "esm" not in pin.what.lower():
        return f"{pin.packages}: the security archive is refused ({pin.what})"
    return ""


def find_package_age(view: View, policy: Policy) -> Iterator[Seen]:
    """Compare the package database's last change with today.

    Our own disks have the build time of their newest package there. It is days old when the archive is current, and as
    old as the archive when the build was made from an old snapshot: then the warning is true.
    """
    times = [(node.mtime, path) for path in _DATABASES if (node := view.tree.stat(path)) and node.mtime > 0]
    if not times:
        raise CannotSee("there is no package database with a time of its own")
    newest, path = max(times)
    day = _find_day(newest)
    if day is not None and (policy.today - day).days > _OLD_DAYS:
        yield Seen(path, f"the last change of a package is of {day}, {(policy.today - day).days} days ago")


def _find_day(seconds: int) -> date | None:
    """Return the day of a file's time; ``None`` for one beyond the calendar."""
    try:
        return datetime.fromtimestamp(seconds, UTC).date()
    except (OverflowError, ValueError, OSError):
        return None


def find_old_kernels(view: View, policy: Policy) -> Iterator[Seen]:
    """Look for kernels that only take space, and for a newest one that the boot loader does not start by default."""
    kernels = {path: _order_kernel(path) for path, node in view.children("/boot") if _is_kernel(path, node.type)}
    if not kernels:
        return
    newest = max(kernels.values())
    if policy.profile is not Profile.CLONE:  # there, apt keeps the kernel that runs and the one before it
        for path, order in kernels.items():
            if order < newest:
                yield Seen(
                    path, f"one of {len(kernels)} kernels, and not the newest", fix="`apt-get --purge autoremove`"
                )
    entry = read_default_entry(view)
    if entry is None:
        return
    started = _order_kernel(view.tree.resolve(entry.kernel) or entry.kernel)
    if started and started < newest:
        yield Seen(entry.path, f"starts {entry.kernel}, which is not the newest kernel", Severity.WARN, "`update-grub`")


def _is_kernel(path: str, kind: FileType) -> bool:
    name = path.rsplit("/", 1)[-1]
    return kind is FileType.FILE and name.startswith(("vmlinuz-", "vmlinux-", "kernel-")) and "-rescue" not in name


def _order_kernel(path: str) -> tuple[int, ...]:
    """Return the numbers of a kernel's version; a flavour such as ``cloud`` makes it neither older nor newer."""
    version = path.rsplit("/", 1)[-1].partition("-")[2]
    return tuple(int(number[:9]) for number in re.findall(r"\d+", _ARCHITECTURE.split(version)[0]))


def find_auto_updates(view: View, _policy: Policy) -> Iterator[Seen]:
    """Look for updates that are neither on nor off: a masked timer, or a setting without what acts on it.

    Plainly on and plainly off are decisions, and pass.
    """
    if not any(view.exists(path) for path in _MANAGERS):
        raise CannotSee("neither apt nor dnf is configured")
    for name in (*_TIMERS, *_DNF_TIMERS):
        unit = find_unit(view, name)
        if unit is not None and unit.masked:
            yield Seen(unit.path, "the timer is masked", fix=f"`systemctl unmask {name}`")
    settings = {option.name.lower(): option for option in read_apt_options(view)}
    wanted = settings.get("apt::periodic::unattended-upgrade")
    if wanted is not None and _is_set(wanted.value):
        for found in _find_what_is_missing(view, {name: option.value for name, option in settings.items()}):
            yield Seen(wanted.path, f"unattended upgrades are asked for, but {found}")
    path = "/etc/dnf/automatic.conf"
    applied = any(_APPLY.match(line.strip()) for line in view.lines(path))
    if applied and not is_enabled(view, *_DNF_TIMERS):
        fix = "systemctl enable dnf-automatic.timer"
        yield Seen(path, "updates are to be applied, but no timer is enabled", fix=fix)


def _find_what_is_missing(view: View, settings: dict[str, str]) -> Iterator[str]:
    if not view.exists("/usr/bin/unattended-upgrade"):
        yield "the package unattended-upgrades is not installed"
    if not _is_set(settings.get("apt::periodic::enable", "1")):
        yield "APT::Periodic::Enable is off"
    if not _is_set(settings.get("apt::periodic::update-package-lists", "0")):
        yield "the package lists are never updated"
    for name in _TIMERS:
        unit = find_unit(view, name)
        if unit is not None and not unit.masked and not unit.enabled:
            yield f"{name} is not enabled"


def _is_set(value: str) -> bool:
    """Say whether an interval of APT::Periodic is more than never: days, hours, or ``always``."""
    return value.strip().lower() not in ("", "0", "false", "no")


def find_time_sync(view: View, policy: Policy) -> Iterator[Seen]:
    """Look for an enabled time service, a hardware clock in local time, and a time zone that does not exist."""
    units = [unit for name in _CLOCKS if (unit := find_unit(view, name)) is not None]
    if not any(unit.enabled for unit in units) and policy.profile is not Profile.CONTAINER:
        if not any(view.tree.names(directory) for directory in DIRECTORIES):
            raise CannotSee("the image has no systemd")
        yield _describe_clocks(units)
    if any(line.strip() == "LOCAL" for line in view.lines("/etc/adjtime")[:3]):
        yield Seen("/etc/adjtime", "the hardware clock is taken for local time", fix="`timedatectl set-local-rtc 0`")
    target = view.tree.readlink("/etc/localtime")
    if target is not None and view.tree.names(_ZONES) and not view.exists("/etc/localtime"):
        yield Seen(
            "/etc/localtime",
            f"a link to {target}, which does not exist",
            Severity.INFO,
            "`timedatectl set-timezone UTC`",
        )


def _describe_clocks(units: list[Unit]) -> Seen:
    if not units:
        return Seen(
            "/usr/lib/systemd/system", "no time service is installed", fix="`apt-get install systemd-timesyncd`"
        )
    unit = units[0]
    name = unit.name
    state = "masked" if unit.masked else "not enabled"
    return Seen(unit.path, f"the time service is {state}", fix=f"`systemctl unmask {name}; systemctl enable {name}`")


def find_local_authorities(view: View, _policy: Policy) -> Iterator[Seen]:
    """Look for certificate authorities that were added to the distribution's."""
    for directory in _ANCHORS:
        for path, node in view.files_below(directory):
            if node.type is not FileType.DIRECTORY and view.is_file(path):
                yield Seen(path, _describe_certificate(view.text(path, 64 << 10, head=True) or ""))


def _describe_certificate(text: str) -> str:
    """Return a certificate's fingerprint, as ``openssl x509 -fingerprint -sha256`` computes it, in short."""
    import base64
    import binascii
    import hashlib

    match = _CERTIFICATE.search(text)
    if match is None:
        return "a file among the trusted authorities"
    try:
        body = base64.b64decode("".join(match.group(1).split()))
    except binascii.Error:
        return "a damaged certificate among the trusted authorities"
    return f"every clone trusts the authority with SHA-256 {hashlib.sha256(body).hexdigest()[:16]}…"


CHECKS = (
    Check(
        id="package-holds",
        severity=Severity.WARN,
        subject=Subject.PACKAGES,
        why="the package gets no security updates on any clone",
        fix="`apt-mark unhold $(apt-mark showhold)`",
        find=find_package_holds,
        profiles=CLONES_TOO,
    ),
    Check(
        id="package-age",
        severity=Severity.WARN,
        subject=Subject.PACKAGES,
        why="clones start without the fixes published since, and their first update is long",
        fix="`apt-get update && apt-get dist-upgrade`, or build the template again",
        find=find_package_age,
        profiles=EVERYWHERE,
    ),
    Check(
        id="old-kernels",
        severity=Severity.INFO,
        subject=Subject.PACKAGES,
        why="old kernels make the image larger, and a clone that starts one runs without the newest one's fixes",
        fix="`apt-get --purge autoremove`",
        find=find_old_kernels,
        profiles=(Profile.TEMPLATE, Profile.CLONE),
    ),
    Check(
        id="auto-updates",
        severity=Severity.INFO,
        subject=Subject.PACKAGES,
        why="whoever reads the settings believes that clones update themselves, or that they do not",
        fix="`apt-get install unattended-upgrades; systemctl unmask apt-daily.timer apt-daily-upgrade.timer`",
        find=find_auto_updates,
        profiles=CLONES_TOO,
    ),
    Check(
        id="time-sync",
        severity=Severity.WARN,
        subject=Subject.PACKAGES,
        why="with a clock that drifts, TLS and signed package lists are refused",
        fix="`systemctl enable systemd-timesyncd.service`",
        find=find_time_sync,
        profiles=CLONES_TOO,
    ),
    Check(
        id="local-ca",
        severity=Severity.INFO,
        subject=Subject.PACKAGES,
        why="whoever owns the authority can read the TLS traffic of every clone",
        fix="`rm the certificate unless it is intended; update-ca-certificates --fresh || update-ca-trust`",
        find=find_local_authorities,
        profiles=(*EVERYWHERE, Profile.SD_IMAGE),
    ),
)
