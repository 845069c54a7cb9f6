"""Packages: apt works on a clone, and nothing of the build's own wiring is left in it.

Source of the rules: dpkg(1), sources.list(5), invoke-rc.d(8) with policy-rc.d, mmdebstrap(1).
"""

import re
from collections.abc import Iterator

from imagekit.disk.dpkg import read_dpkg_states
from imagekit.disk.tree import FileType
from imagekit.report import Severity
from imagekit.verify.check import Check, Policy, Seen, Subject
from imagekit.verify.facts.packages import read_apt_options, read_apt_sources
from imagekit.verify.facts.system import Family, read_distribution
from imagekit.verify.view import CannotSee, View

_STATUS = "/var/lib/dpkg/status"
# dpkg(1), "Package states"; config-files and not-installed are ordinary ends of a removal.
_SETTLED = ("installed", "config-files", "not-installed")
_CACHES = ("/var/lib/apt/lists", "/var/cache/apt", "/var/cache/dnf", "/var/cache/yum", "/var/cache/zypp")
_CACHE_LIMIT = 100 << 20
# A list of names alone is what `apt-get clean` leaves: these two are rebuilt from dpkg's own status.
_NORMAL_CACHE = ("lock", "pkgcache.bin", "srcpkgcache.bin")
_LEFTOVERS = (
    ("/etc/apt/apt.conf.d/99mmdebstrap", Severity.WARN),
    ("/etc/dpkg/dpkg.cfg.d/99mmdebstrap", Severity.WARN),
    ("/.dockerenv", Severity.WARN),
    ("/usr/sbin/start-stop-daemon.REAL", Severity.WARN),
    ("/sbin/start-stop-daemon.REAL", Severity.WARN),
)
_UNSIGNED = ("apt::get::allowunauthenticated", "acquire::allowinsecurerepositories")
_PRIVATE_ADDRESS = re.compile(
    r"https?://(?:10\.|127\.|192\.168\.|172\.(?:1[6-9]|2\d|3[01])\.|localhost[:/]|\[::1\])", re.I
)


def _need_debian(view: View) -> None:
    if read_distribution(view).family is not Family.DEBIAN:
        raise CannotSee("the image is not of Debian's family")


def find_package_state(view: View, _policy: Policy) -> Iterator[Seen]:
    """Look for packages that dpkg has not finished with."""
    if not view.is_file(_STATUS):
        raise CannotSee("the image has no dpkg database")
    for name, status in read_dpkg_states(view.tree).items():
        words = status.split()
        if words[-1] not in _SETTLED or "reinstreq" in words:
            yield Seen(_STATUS, f"{name} is {status}")
    for path, node in view.children("/var/lib/dpkg/updates"):
        if node.type is FileType.FILE:
            yield Seen(path, "an update of the database that dpkg has not merged")


def find_apt_sources(view: View, _policy: Policy) -> Iterator[Seen]:
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
        if _PRIVATE_ADDRESS.match(source.uri):
            yield Seen(source.path, "an archive at a private address", Severity.WARN)
    for option in read_apt_options(view):
        name, value = option.name.lower(), option.value.lower()
        if name.endswith("::check-valid-until") and value in ("false", "no", "0"):
            yield Seen(option.path, "Check-Valid-Until is off: old, vulnerable lists are accepted")
        elif name in _UNSIGNED and value in ("true", "yes", "1"):
            yield Seen(option.path, "unsigned archives are accepted")
    suites = [suite for source in sources for suite in source.suites]
    if not any("security" in suite or suite in ("sid", "unstable") for suite in suites):
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
            yield Seen(path, "keeps packages from starting their services")
    for path, severity in _LEFTOVERS:
        if view.tree.lstat(path) is not None:
            yield Seen(path, "left by the build", severity)
    for path, _ in view.children("/etc/apt/apt.conf.d"):
        if path.rsplit("/", 1)[-1].startswith("docker-"):
            yield Seen(path, "settings of a container image", Severity.WARN)
    for path, _ in view.children("/etc/dpkg/dpkg.cfg.d"):
        if any(line.strip() == "force-unsafe-io" for line in view.lines(path)):
            yield Seen(path, "dpkg does not sync to disk (force-unsafe-io)", Severity.WARN)


CHECKS = (
    Check(
        id="package-state",
        severity=Severity.FAIL,
        subject=Subject.PACKAGES,
        why="apt stops on every clone until the package is finished",
        fix="dpkg --configure -a; apt-get -f install",
        find=find_package_state,
    ),
    Check(
        id="apt-sources",
        severity=Severity.FAIL,
        subject=Subject.PACKAGES,
        why="the first apt update on a clone fails, or takes packages that nobody has signed",
        fix="list the distribution's public archives, its security suite included",
        find=find_apt_sources,
    ),
    Check(
        id="apt-lists",
        severity=Severity.INFO,
        subject=Subject.PACKAGES,
        why="package lists and archives are stale on the clone and make the image larger",
        fix="apt-get clean; rm -rf /var/lib/apt/lists/*",
        find=find_apt_lists,
    ),
    Check(
        id="build-leftovers",
        severity=Severity.FAIL,
        subject=Subject.PACKAGES,
        why="services do not start after an installation on a clone, or dpkg loses files in a power cut",
        fix="remove the file",
        find=find_build_leftovers,
    ),
)
