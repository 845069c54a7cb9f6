"""The initial RAM disk: what a clone needs from it to find its root, and what must not be in it.

Source of the rules: initramfs-tools(7), initramfs.conf(5), dracut(8), the kernel's Kconfig for the names of drivers.
"""

import re
from collections.abc import Iterator

from imagekit.report import Severity
from imagekit.verify.check import MACHINES, Check, Policy, Seen, Subject
from imagekit.verify.evidence import PRIVATE_KEY, Lock, classify_password, name_hash_scheme, read_public_key
from imagekit.verify.facts.boot_entries import read_default_entry
from imagekit.verify.facts.boot_files import find_boot_file, read_built_in, read_kernel_version, read_modules
from imagekit.verify.facts.initramfs import KEY_PLACES, Kept, is_suspect, open_initramfs
from imagekit.verify.view import CannotSee, View

# A virtio disk hangs on the PCI bus, and Proxmox attaches it as a block or as a SCSI device.
_DRIVERS = {"virtio_pci": "CONFIG_VIRTIO_PCI", "virtio_blk": "CONFIG_VIRTIO_BLK", "virtio_scsi": "CONFIG_SCSI_VIRTIO"}
_SECRET_LINE = re.compile(
    r"^[ \t]*(?:PrivateKey|PresharedKey|psk|wep-key0|wep_key0|password)[ \t]*=[ \t]*\S", re.MULTILINE | re.I
)
_PUBLIC = ("BEGIN CERTIFICATE", "BEGIN PUBLIC KEY")


def find_missing_drivers(view: View, policy: Policy) -> Iterator[Seen]:
    """Look for the drivers of virtio disks in the default kernel and its initrd.

    An initrd of mkinitramfs says with which MODULES= it was made, and ``most`` takes every driver of a disk that the
    kernel has; a deep look, and one at any other initrd, goes by the names of the modules inside.
    """
    entry = read_default_entry(view)
    if entry is None or (kernel := find_boot_file(view, entry, entry.kernel)) is None:
        raise CannotSee("there is no default kernel to look at")
    missing = frozenset(_DRIVERS) - read_built_in(view)
    if missing == frozenset(_DRIVERS):  # a kernel without modules has no list of what is built in
        missing -= _read_configuration(view)
    if not missing:
        return
    if not entry.initrds:
        yield Seen(kernel.path, f"not built into the kernel, and there is no initrd: {', '.join(sorted(missing))}")
        return
    initramfs = open_initramfs(view)
    if not policy.deep and initramfs.read_settings().get("MODULES") == "most" and missing <= read_modules(view):
        return
    missing -= initramfs.find_modules(missing)
    if missing:
        yield Seen(initramfs.paths[-1], f"neither built into the kernel nor in here: {', '.join(sorted(missing))}")


def _read_configuration(view: View) -> frozenset[str]:
    """Return the drivers that the kernel's own configuration says are built in."""
    text = view.text(f"/boot/config-{read_kernel_version(view)}") or ""
    return frozenset(name for name, option in _DRIVERS.items() if f"\n{option}=y\n" in text)


def find_initramfs_secrets(view: View, policy: Policy) -> Iterator[Seen]:
    """Look for keys, password hashes and installer answers in the default initrd.

    They are looked for in front of the programs and modules, where mkinitramfs and dracut put all of them; a deep look
    reads to the end.
    """
    entry = read_default_entry(view)
    if entry is not None and not entry.initrds:
        return
    initramfs = open_initramfs(view)
    if policy.deep:
        initramfs.read_all()
    else:
        initramfs.read_head()
    for kept in initramfs.kept:
        if is_suspect(kept.member.name) and (found := _judge_member(kept)):
            yield Seen(f"{kept.path}:{kept.member.name}", found)


def _judge_member(kept: Kept) -> str:
    """Say what secret a member is or holds; empty for none."""
    name, size = kept.member.name, kept.member.size
    directory, _, base = name.rpartition("/")
    text = kept.member.content.decode("utf-8", "surrogateescape")
    match base.rstrip("-2"):
        case "authorized_keys":
            keys = [key for line in text.splitlines()[:1000] if (key := read_public_key(line))]
            return f"{len(keys)} key(s) that may log in before the root is mounted: {keys[0]}" if keys else ""
        case "shadow" | "passwd":
            return _judge_accounts(text)
        case "crypttab":
            return _judge_crypttab(text)
        case "preseed.cfg":
            return f"an installer's answers, {size} bytes"
        case _:
            pass
    if base.endswith("_host_key") or ("dropbear" in directory and base.endswith("key")):
        return f"a host key that all clones share, {size} bytes"
    if match := PRIVATE_KEY.search(text):
        return f"{match.group().strip('-')}, {size} bytes"
    if _SECRET_LINE.search(text):
        return "a network key or password"
    is_key = name.startswith(KEY_PLACES) or "keyfile" in base or base.endswith(".key")
    is_key = is_key and not name.startswith("usr/")
    return f"a key file, {size} bytes" if is_key and not any(mark in text for mark in _PUBLIC) else ""


def _judge_accounts(text: str) -> str:
    found = []
    for line in text.splitlines()[:1000]:
        account, colon, rest = line.partition(":")
        field = rest.partition(":")[0]
        if colon and classify_password(field) in (Lock.USABLE, Lock.LOCKED_HASH):
            found.append(f"{account}: {name_hash_scheme(field.lstrip('!*'))} hash")
    return ", ".join(found[:5])


def _judge_crypttab(text: str) -> str:
    """Name key files that must be in here for their volume to open (crypttab(5))."""
    keys = []
    for line in text.splitlines()[:1000]:
        fields = line.split()
        if len(fields) < 3 or line.lstrip().startswith("#") or (len(fields) > 3 and "keyscript=" in fields[3]):
            continue
        # A key on another device is written path:device.
        if fields[2].startswith("/") and not fields[2].startswith("/dev/") and ":" not in fields[2]:
            keys.append(f"{fields[0]} is opened with the key file {fields[2]}")
    return "; ".join(keys[:5])


CHECKS = (
    Check(
        id="virtio-initramfs",
        severity=Severity.FAIL,
        subject=Subject.BOOT,
        why="the clone's kernel does not find its root on a virtio disk and stops in the initramfs shell",
        fix=(
            "`echo MODULES=most > /etc/initramfs-tools/conf.d/modules && "
            "update-initramfs -u` (Fedora, RHEL: dracut --force --no-hostonly)"
        ),
        find=find_missing_drivers,
        profiles=MACHINES,
    ),
    Check(
        id="initramfs-secrets",
        severity=Severity.FAIL,
        subject=Subject.SECRETS,
        why="what was copied into the initrd at build time stays there when /etc is cleaned, and every clone has it",
        fix="`update-initramfs -u`, after removing it from /etc (Fedora, RHEL: `dracut --force`)",
        find=find_initramfs_secrets,
        profiles=MACHINES,
    ),
)
