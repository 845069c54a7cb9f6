"""Packages: apt works on a clone, and nothing of the build's own wiring is left in it.

Source of the rules: dpkg(1), sources.list(5), invoke-rc.d(8) with policy-rc.d, mmdebstrap(1).
"""

import re
from collections.abc import Iterator
from shlex import quote

from imagekit.disk.tree import FileType
from imagekit.report import Severity
from imagekit.verify.check import CLONES_TOO, EVERYWHERE, Check, Policy, Profile, Seen, Subject
from imagekit.verify.facts.packages import read_apt_options, read_apt_sources, read_package_states
from imagekit.verify.facts.system import Family, read_distribution
from imagekit.verify.view import CannotSee, View

_STATUS = "/var/lib/dpkg/status"
# dpkg(1), "Package states"; config-files and not-installed are ordinary ends of a removal.
_SETTLED = ("installed", "config-files", "not-installed")
_RPM_DATABASES = ("/usr/lib/sysimage/rpm", "/var/lib/rpm")
_CACHES = (
    "/var/lib/apt/lists",
    "/var/cache/apt",
    "/var/cache/dnf",
    "/var/cache/libdnf5",
    "/var/cache/yum",
    "/var/cache/zypp",
    "/var/cache/apk",
)
_CACHE_LIMIT = 100 << 20
# A list of names alone is what `apt-get clean` leaves: these two are rebuilt from dpkg's own status.
_NORMAL_CACHE = ("lock", "pkgcache.bin", "srcpkgcache.bin")
_LEFTOVERS = (
    ("/etc/apt/apt.conf.d/99mmdebstrap", Severity.WARN),
    ("/etc/dpkg/dpkg.cfg.d/99mmdebstrap", Severity.WARN),
    ("/.dockerenv", Severity.WARN),
    ("/run/.containerenv", Severity.WARN),
    ("/usr/sbin/start-stop-daemon.REAL", Severity.WARN),
    ("/sbin/start-stop-daemon.REAL", Severity.WARN),
)
# What builders put a dummy in place of, so that nothing starts while they work.
_STARTERS = ("start-stop-daemon", "initctl", "invoke-rc.d", "systemctl")
_UNSIGNED = (
    "apt::get::allowunauthenticated",
    "acquire::allowinsecurerepositories",
    "acquire::allowdowngradetoinsecurerepositories",
)
# Hosts that exist only in the network of the build: private addresses, names without a dot, names for local use.
_PRIVATE_HOST = re.compile(
    r"(?:10|127)(?:\.\d{1,3}){3}|(?:192\.168|169\.254|172\.(?:1[6-9]|2\d|3[01]))(?:\.\d{1,3}){2}"
    r"|\[(?:::1|f[cde][0-9a-f:]*)\]|[^.\[\]]+|.*\.(?:local|localdomain|lan|internal|intern|home\.arpa|home|corp)",
    re.IGNORECASE,
)
_HOST = re.compile(r"(?:[a-z0-9+]+\+)?https?://(?:[^/@\s]*@)?(\[[0-9a-f:]*\]|[^/:\s]+)", re.IGNORECASE)
_ROLLING = ("sid", "unstable", "kali-rolling", "rolling")


def _need_debian(view: View) -> None:
    if read_distribution(view).family is not Family.DEBIAN:
        raise CannotSee("the image is not of Debian's family")


def find_package_state(view: View, _policy: Policy) -> Iterator[Seen]:
    """Look for packages that dpkg has not finished with, and for an environment that an rpm was killed in."""
    rpm = [directory for directory in _RPM_DATABASES if view.tree.names(directory)]
    if not view.is_file(_STATUS) and not rpm:
        raise CannotSee("the image has no database of dpkg or rpm")
    for directory in rpm:
        for path, _ in view.children(directory):
            if path.rsplit("/", 1)[-1].startswith("__db."):
                yield Seen(path, "a lock region that rpm left", Severity.WARN, '`rm -f "$path"; rpm --rebuilddb`')
    for name, status in read_package_states(view).items():
        words = status.split()
        if words[-1] not in _SETTLED or "reinstreq" in words:
            yield Seen(_STATUS, f"{name} is {status}")
    for path, node in view.children("/var/lib/dpkg/updates"):
        if node.type is FileType.FILE:
            yield Seen(path, "an update of the database that dpkg has not merged")


def find_apt_sources(view: View, policy: Policy) -> Iterator[Seen]:
    """Look for archives that a clone cannot reach, or must not trust, and for the security archive."""
    _need_debian(view)
    sources = read_apt_sources(view)
    if not sources:
        yield Seen("/etc/apt/sources.list", "no archive is configured", Severity.WARN)
        return
    for source in sources:
        scheme = source.uri.partition(":")[0].lower()
        if scheme in ("cdrom", "file", "copy"):
            yield Seen(source.path, f"an archive with scheme {scheme}: exists only where the image was built")
        if source.options.get("trusted", "").lower() in ("yes", "true", "1"):
            yield Seen(source.path, "trusted=yes: signatures are not checked")
        if source.options.get("check-valid-until", "").lower() in ("no", "false", "0"):
            yield Seen(source.path, "check-valid-until=no: old, vulnerable lists are accepted")
        if source.options.get("allow-insecure", "").lower() in ("yes", "true", "1"):
            yield Seen(source.path, "allow-insecure=yes: signatures are not needed")
        host = _HOST.match(source.uri)
        # On a machine that runs, its owner may have chosen the mirror of the network it is in.
        if host and _PRIVATE_HOST.fullmatch(host.group(1)) and policy.profile is not Profile.CLONE:
            yield Seen(source.path, "an archive at a private address", Severity.WARN)
    for option in read_apt_options(view):
        name, value = option.name.lower(), option.value.lower()
        if name.endswith("::check-valid-until") and value in ("false", "no", "0"):
            yield Seen(option.path, "Check-Valid-Until is off: old, vulnerable lists are accepted")
        elif name in _UNSIGNED and value in ("true", "yes", "1"):
            yield Seen(option.path, "unsigned archives are accepted")
    suites = [suite for source in sources for suite in source.suites]
    if not any("security" in suite or suite in _ROLLING for suite in suites):
        yield Seen(sources[0].path, f"no security suite among {', '.join(dict.fromkeys(suites))}", Severity.WARN)


def find_apt_lists(view: View, _policy: Policy) -> Iterator[Seen]:
    """Look at what the package manager has downloaded; locks and empty directories are normal."""
    for directory in _CACHES:
        size = count = 0
        for path, node in view.files_below(directory):
            if node.type is FileType.FILE and node.size and path.rsplit("/", 1)[-1] not in _NORMAL_CACHE:
                size, count = size + node.size, count + 1
        if count:
            severity = Severity.WARN if size > _CACHE_LIMIT else Severity.INFO
            yield Seen(directory, f"{count} files, {max(size >> 20, 1)} MiB", severity)


def find_build_leftovers(view: View, _policy: Policy) -> Iterator[Seen]:
    """Look for what builders put into a tree to keep services still, and dpkg fast, while they work."""
    for path in ("/usr/sbin/policy-rc.d", "/usr/local/sbin/policy-rc.d"):
        if view.tree.lstat(path) is not None:
            yield Seen(path, "keeps packages from starting their services", fix='`rm -f "$path"`')
    places = {view.tree.resolve(path) or path: severity for path, severity in _LEFTOVERS}  # /sbin is often /usr/sbin
    for path, severity in places.items():
        if view.tree.lstat(path) is not None:
            yield Seen(path, "left by the build", severity, '`rm -rf "$path"`')
    for path, name in _find_diverted_starters(view):
        fix = f"dpkg-divert --rename --remove {quote(path)}"
        yield Seen("/var/lib/dpkg/diversions", f"{name} is diverted: a dummy is in its place", Severity.WARN, fix)
    for path, _ in view.children("/etc/apt/apt.conf.d"):
        if path.rsplit("/", 1)[-1].startswith("docker-"):
            yield Seen(path, "settings of a container image", Severity.WARN)
    for path in ("/etc/dpkg/dpkg.cfg", *(path for path, _ in view.children("/etc/dpkg/dpkg.cfg.d"))):
        if any(line.strip() == "force-unsafe-io" for line in view.lines(path)):
            fix = f"sed -i '/^force-unsafe-io/d' {quote(path)}"
            yield Seen(path, "dpkg does not sync to disk (force-unsafe-io)", Severity.WARN, fix)
    for option in read_apt_options(view):
        if "--force-unsafe-io" in (option.name.rpartition("::")[2], *option.value.split()):
            yield Seen(option.path, "apt tells dpkg not to sync to disk (force-unsafe-io)", Severity.WARN)


def _find_diverted_starters(view: View) -> Iterator[tuple[str, str]]:
    """Yield path and name of what is diverted; the file has three lines each: from, to, by which package."""
    lines = view.lines("/var/lib/dpkg/diversions")
    for path in lines[::3]:
        name = path.rsplit("/", 1)[-1]
        if name in _STARTERS:
            yield path, name


CHECKS = (
    Check(
        id="package-state",
        severity=Severity.FAIL,
        subject=Subject.PACKAGES,
        why="apt stops on every clone until the package is finished",
        fix="`dpkg --configure -a; apt-get -f install`",
        find=find_package_state,
        profiles=CLONES_TOO,
    ),
    Check(
        id="apt-sources",
        severity=Severity.FAIL,
        subject=Subject.PACKAGES,
        why="the first apt update on a clone fails, or takes packages that nobody has signed",
        fix="list the distribution's public archives, its security suite included",
        find=find_apt_sources,
        profiles=CLONES_TOO,
    ),
    Check(
        id="apt-lists",
        severity=Severity.INFO,
        subject=Subject.PACKAGES,
        why="package lists and archives are stale on the clone and make the image larger",
        fix="`apt-get clean; rm -rf /var/lib/apt/lists/*`",
        find=find_apt_lists,
        profiles=EVERYWHERE,
    ),
    Check(
        id="build-leftovers",
        severity=Severity.FAIL,
        subject=Subject.PACKAGES,
        why="services do not start after an installation on a clone, or dpkg loses files in a power cut",
        fix='`rm -rf "$path"`',
        find=find_build_leftovers,
        profiles=CLONES_TOO,
    ),
)
