"""Identity beside the machine-id: seeds, host ids, initiators and names that must not exist twice.

Source of the rules: systemd's BUILDING_IMAGES, systemd-creds(1), hostname(5), hosts(5), iscsid(8), nvme-connect(1).
"""

import re
from collections.abc import Iterator

from imagekit.disk.tree import FileType
from imagekit.report import Severity
from imagekit.verify.check import (
    CLONES_TOO,
    EVERYWHERE,
    MACHINES,
    Check,
    Policy,
    Profile,
    Seen,
    Subject,
)
from imagekit.verify.facts.boot_entries import read_arguments
from imagekit.verify.facts.cloud_config import is_on, read_cloud_config
from imagekit.verify.facts.filesystems import read_fstab
from imagekit.verify.facts.system import Family, read_distribution
from imagekit.verify.facts.units import is_enabled
from imagekit.verify.view import CannotSee, View

HOSTNAME = "/etc/hostname"
HOSTS = "/etc/hosts"
_EVERY_IMAGE = (*EVERYWHERE, Profile.SD_IMAGE)
_NEUTRAL_NAMES = ("", "localhost", "localhost.localdomain", "debian", "ubuntu", "fedora", "nixos")
_SEEDS = (
    "/var/lib/systemd/random-seed",
    "/var/lib/random-seed",
    "/var/lib/urandom/random-seed",
    "/boot/efi/loader/random-seed",
    "/efi/loader/random-seed",
    "/boot/loader/random-seed",
)
_CREDENTIAL_SECRET = "/var/lib/systemd/credential.secret"
_HOSTID = "/etc/hostid"
_INITIATOR = "/etc/iscsi/initiatorname.iscsi"
_ISCSI_UNITS = ("iscsid.service", "iscsid.socket", "open-iscsi.service", "iscsi.service")
_NVME = ("/etc/nvme/hostid", "/etc/nvme/hostnqn")
_STAMP = re.compile(r"^(?:IMAGE_ID|IMAGE_VERSION)=[\"']?[^\"'\s]", re.MULTILINE)
_STAMPS = ("/etc/cloud/build.info", "/etc/cloud-release")
_LIMIT = 64 << 10


def find_random_seed(view: View, _policy: Policy) -> Iterator[Seen]:
    """Look for saved entropy in the root and on the ESP."""
    for path in _SEEDS:
        node = view.tree.lstat(path)
        if node is not None and node.type is FileType.FILE:
            yield Seen(path, f"{node.size} bytes of saved entropy")
    esp = view.esp() if view.has_disk else None
    mounted = any(view.exists(path) for path in _SEEDS[3:5])
    if esp is not None and not mounted and (node := esp.stat("/loader/random-seed")) is not None:
        yield Seen("ESP:/loader/random-seed", f"{node.size} bytes of saved entropy")


def find_credential_secret(view: View, _policy: Policy) -> Iterator[Seen]:
    """Look for the key with which systemd seals this machine's credentials."""
    node = view.tree.lstat(_CREDENTIAL_SECRET)
    if node is not None:
        yield Seen(_CREDENTIAL_SECRET, f"the host's credential key, {node.size} bytes")


def find_hostid(view: View, _policy: Policy) -> Iterator[Seen]:
    """Look for gethostid(3)'s file; it fails where the root is a ZFS pool, which compares it."""
    node = view.tree.stat(_HOSTID)
    if node is None or node.type is not FileType.FILE or node.size == 0:
        return
    on_zfs = any(line.target == "/" and line.type == "zfs" for line in read_fstab(view)) or any(
        argument.text.lower().startswith(("root=zfs", "boot=zfs")) for argument in read_arguments(view)
    )
    found = f"{node.size} bytes of host id{', and the root is on ZFS' if on_zfs else ''}"
    yield Seen(_HOSTID, found, Severity.FAIL if on_zfs else None)


def find_iscsi_initiator(view: View, _policy: Policy) -> Iterator[Seen]:
    """Look for an initiator's name that is already made; ``GenerateName=yes``, as Debian ships it, makes one later."""
    for line in view.lines(_INITIATOR):
        key, _, value = line.partition("=")
        if key.strip() == "InitiatorName" and value.strip():
            used = is_enabled(view, *_ISCSI_UNITS)
            is_redhat = read_distribution(view).family is Family.REDHAT  # iscsi-init.service makes a missing file
            yield Seen(
                _INITIATOR,
                f"initiator {value.strip()[:12]}…{', and boot starts iscsid' if used else ''}",
                Severity.FAIL if used else None,
                f"`rm -f {_INITIATOR}`" if is_redhat else None,
            )


def find_nvme_host(view: View, _policy: Policy) -> Iterator[Seen]:
    """Look for NVMe over Fabrics' host id and name, which nvme-cli makes when it is installed."""
    for path in _NVME:
        if (view.text(path, 4096, head=True) or "").strip():
            yield Seen(path, "made when the image was built")


def find_hostname(view: View, _policy: Policy) -> Iterator[Seen]:
    """Look for the build machine's name; it fails where cloud-init is told to keep it."""
    name = _read_hostname(view)
    if name.lower() in _NEUTRAL_NAMES:
        return
    try:
        kept = is_on(read_cloud_config(view).get("preserve_hostname"))
    except CannotSee:
        kept = False
    found = f"names a machine: {name[:64]}{', and cloud-init is told to keep it' if kept else ''}"
    yield Seen(HOSTNAME, found, Severity.FAIL if kept else Severity.WARN)


def _read_hostname(view: View) -> str:
    """Return the first line that is no comment (hostname(5)); empty when there is none."""
    lines = (line.strip() for line in (view.text(HOSTNAME, 4096, head=True) or "").splitlines())
    return next((line for line in lines if line and not line.startswith("#")), "")


def find_hosts(view: View, policy: Policy) -> Iterator[Seen]:
    """Look for another machine's name at 127.0.1.1 and for pinned addresses; on a clone, only for the name."""
    is_clone = policy.profile is Profile.CLONE
    own = _read_hostname(view).lower().partition(".")[0]
    for line in view.lines(HOSTS):
        address, *names = line.partition("#")[0].split()[:16] or [""]
        if address == "127.0.1.1":
            short = [name.lower().partition(".")[0] for name in names]
            wrong = own not in short if is_clone else not set(short) <= set(_NEUTRAL_NAMES)
            if names and wrong and (own or not is_clone):
                yield Seen(HOSTS, f"127.0.1.1 is {', '.join(names[:3])}")
        elif names and not is_clone and _is_machine(address):
            yield Seen(HOSTS, f"a fixed address for {', '.join(names[:3])}")


def _is_machine(address: str) -> bool:
    """Say whether an address is some machine's: no loopback, multicast, unspecified, or Debian's ``fe00::0``."""
    import ipaddress  # here: most images have no such line

    if address.startswith("127.") or address in ("::1", "fe00::0", "fe00::", "ff00::0", "ff02::1", "ff02::2"):
        return False
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    return not (parsed.is_loopback or parsed.is_multicast or parsed.is_unspecified)


def find_machine_info(view: View, _policy: Policy) -> Iterator[Seen]:
    """Look for machine-info(5): deployment, location and chassis of the machine that was the model."""
    lines = [line.partition("=")[0] for line in view.lines("/etc/machine-info") if "=" in line and line[:1] != "#"]
    if lines:
        yield Seen("/etc/machine-info", f"sets {', '.join(lines[:5])}")


def find_missing_stamp(view: View, _policy: Policy) -> Iterator[Seen]:
    """Look for what says which image this is: os-release's ``IMAGE_ID``, or the build's own file as clouds have it."""
    release = view.text("/etc/os-release", _LIMIT) or view.text("/usr/lib/os-release", _LIMIT) or ""
    if _STAMP.search(release) or any((view.text(path, _LIMIT, head=True) or "").strip() for path in _STAMPS):
        return
    yield Seen("/etc/os-release", f"no IMAGE_ID, no IMAGE_VERSION, and neither {' nor '.join(_STAMPS)}")


CHECKS = (
    Check(
        id="random-seed",
        severity=Severity.WARN,
        subject=Subject.IDENTITY,
        why="all clones start their random numbers from the same seed",
        fix=(
            "`rm -f /var/lib/systemd/random-seed /var/lib/random-seed /var/lib/urandom/random-seed "
            "/boot/efi/loader/random-seed /efi/loader/random-seed /boot/loader/random-seed`"
        ),
        find=find_random_seed,
        profiles=_EVERY_IMAGE,
    ),
    Check(
        id="credential-secret",
        severity=Severity.FAIL,
        subject=Subject.IDENTITY,
        why="one clone's key opens the sealed credentials of all of them",
        fix="`rm -f /var/lib/systemd/credential.secret`, what was sealed with it is lost",
        find=find_credential_secret,
        profiles=_EVERY_IMAGE,
    ),
    Check(
        id="hostid",
        severity=Severity.WARN,
        subject=Subject.IDENTITY,
        why="clones share the number by which ZFS tells whose pool it is, so a pool can be imported twice",
        fix="`rm -f /etc/hostid`, and run zgenhostid on each clone's first boot",
        find=find_hostid,
        profiles=_EVERY_IMAGE,
    ),
    Check(
        id="iscsi-initiator",
        severity=Severity.WARN,
        subject=Subject.IDENTITY,
        why="two machines with one initiator name write to one LUN and destroy its filesystem",
        fix="`echo GenerateName=yes > /etc/iscsi/initiatorname.iscsi`",
        find=find_iscsi_initiator,
        profiles=(*MACHINES, Profile.SD_IMAGE),
    ),
    Check(
        id="nvme-hostid",
        severity=Severity.WARN,
        subject=Subject.IDENTITY,
        why="storage over fabrics takes all clones for one host",
        fix="`rm -f /etc/nvme/hostid /etc/nvme/hostnqn`, and run nvme gen-hostnqn on each clone's first boot",
        find=find_nvme_host,
        profiles=(*MACHINES, Profile.SD_IMAGE),
    ),
    Check(
        id="hostname",
        severity=Severity.WARN,
        subject=Subject.IDENTITY,
        why="the build machine's name shows up in DHCP and logs until cloud-init renames the clone",
        fix="`: > /etc/hostname`",
        find=find_hostname,
        profiles=MACHINES,  # a container's is written by its host, a card's comes from its configuration
    ),
    Check(
        id="hosts-file",
        severity=Severity.WARN,
        subject=Subject.IDENTITY,
        why="the clone calls itself by another machine's name, or keeps addresses of the build's network",
        fix="`printf '127.0.0.1 localhost\\n::1 localhost ip6-localhost ip6-loopback\\n' > /etc/hosts`",
        find=find_hosts,
        profiles=(Profile.TEMPLATE, Profile.CLONE),
    ),
    Check(
        id="machine-info",
        severity=Severity.INFO,
        subject=Subject.IDENTITY,
        why="it tells where the build machine stands and what it is for",
        fix="`rm -f /etc/machine-info`",
        find=find_machine_info,
        profiles=_EVERY_IMAGE,
    ),
    Check(
        id="image-stamp",
        severity=Severity.INFO,
        subject=Subject.IDENTITY,
        why="nobody can tell from a clone which image it was made from",
        fix="`echo 'build_name: NAME' > /etc/cloud/build.info`",
        find=find_missing_stamp,
        profiles=CLONES_TOO,
    ),
)
