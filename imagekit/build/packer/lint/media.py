"""Rules about ISOs: what stays in the template, what the plugin cannot place, what cannot be checked."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from imagekit.build.packer.lint.rule import ANY, ISO, PROXMOX, Case, Finding, Level, Rule, Subject
from imagekit.build.packer.values import Block
from imagekit.definition.problems import quote

_BLOCKS = ("boot_iso", "additional_iso_files")
_VOLUME = re.compile(r"[A-Za-z][\w.-]*:iso/[^/\s]+\.(iso|img)", re.IGNORECASE)
_SLOTS = {"ide": 4, "sata": 6, "scsi": 31}
_DIGITS = {"md5": 32, "sha1": 40, "sha224": 56, "sha256": 64, "sha384": 96, "sha512": 128}


def list_isos(case: Case) -> Iterator[Block]:
    """Yield every block about an ISO, the one to boot first."""
    for kind in _BLOCKS:
        yield from case.block.list_blocks(kind)


def find_mounted_isos(case: Case) -> Iterator[Finding]:
    """Yield ISOs that are not taken out again."""
    for block in list_isos(case):
        if block.read_flag("unmount", False) is False:
            yield case.at(block, "unmount", f"unmount {case.tell(block, 'unmount')}")
    old = any(case.block.has(name) for name in ("iso_file", "iso_url"))
    if case.source.kind in ISO and old and case.block.read_flag("unmount_iso", False) is False:
        yield case.at(case.block, "unmount_iso", f"unmount_iso {case.tell(case.block, 'unmount_iso')}")


def read_slot(block: Block) -> tuple[str, int | None] | None:
    """Return bus and index of an ISO, ``None`` when they are not known; the index is ``None`` when the plugin picks."""
    device = re.fullmatch(r"(ide|sata|scsi)(\d{1,3})", block.read_text("device", "") or "")
    if device:  # the old field wins over the two new ones
        return device[1], int(device[2])
    bus = block.read_text("type", "ide")
    if bus is None or (block.lacks("index") is False and block.read_number("index") is None):
        return None
    # The plugin itself puts an unplaced boot ISO at ide2; every other one takes the first free place.
    index = block.read_number("index")
    return bus, 2 if index is None and block.kind == "boot_iso" and block.lacks("type") else index


def find_clashing_isos(case: Case) -> Iterator[Finding]:
    """Yield ISOs placed where a disk or another ISO goes, or where no bus has a place."""
    disks: dict[str, int] = {}
    for disk in case.block.list_blocks("disks"):
        kind = disk.read_text("type", "scsi")
        disks[kind or ""] = disks.get(kind or "", 0) + 1
    taken: set[tuple[str, int]] = set()
    for block in list_isos(case):
        slot = read_slot(block)
        bus, index = slot if slot is not None else ("", None)
        if index is None:
            continue
        name = "device" if block.has("device") else "index"
        if index >= _SLOTS.get(bus, 31) or index < 0:
            yield case.at(block, name, f"{bus}{index}: {bus} has places 0 to {_SLOTS.get(bus, 31) - 1}")
        elif (bus, index) in taken:
            yield case.at(block, name, f"{bus}{index} has an ISO already")
        elif index < disks.get(bus, 0) and "" not in disks:
            yield case.at(block, name, f"{bus}{index} is the place of a disk")
        taken.add((bus, index))


def find_strange_volumes(case: Case) -> Iterator[Finding]:
    """Yield names of ISOs that are no volume of a storage."""
    for block in (case.block, *list_isos(case)):
        text = block.read_text("iso_file")
        if text is not None and not _VOLUME.fullmatch(text):
            yield case.at(block, "iso_file")


def find_strange_checksums(case: Case) -> Iterator[Finding]:
    """Yield checksums that cannot match anything."""
    for block in (case.block, *list_isos(case)):
        text = block.read_text("iso_checksum")
        if text is None or text == "none" or text.startswith("file:"):
            continue
        kind, _, digest = text.rpartition(":")
        if not re.fullmatch(r"[0-9A-Fa-f]+", digest):
            yield case.at(block, "iso_checksum", "not a hexadecimal checksum")
        elif kind and kind not in _DIGITS:
            yield case.at(block, "iso_checksum", f"{quote(kind)} is no kind of checksum")
        elif len(digest) not in ([_DIGITS[kind]] if kind else _DIGITS.values()):
            wants = f"; {kind} has {_DIGITS[kind]}" if kind else ""
            yield case.at(block, "iso_checksum", f"{len(digest)} digits{wants}")


def find_unchecked_downloads(case: Case) -> Iterator[Finding]:
    """Yield downloads that nobody checks."""
    for block in (case.block, *list_isos(case)):
        url = block.read_text("iso_url", "") or ""
        if block.read_text("iso_checksum") == "none" and re.match(r"(?i)(https?|ftp)://", url):
            yield case.at(block, "iso_checksum")


def find_missing_files(case: Case) -> Iterator[Finding]:
    """Yield files for a CD that are not there; a path is looked for from here and from the template's directory."""
    for block in (case.block, *list_isos(case)):
        for text in block.read_texts("cd_files") or ():
            places = (Path.cwd(), case.template.directory)
            if text and not any(_is_there(place, text) for place in places):
                yield case.at(block, "cd_files", f"{quote(text)} is not there")


def _is_there(place: Path, text: str) -> bool:
    path = place / text
    try:
        if path.exists() or "**" in text or any(sign in str(path.parent) for sign in "*?["):
            return True  # patterns further up are not followed
        return any(True for _ in path.parent.glob(path.name))
    except (OSError, ValueError):  # a name too long, or with a NUL
        return False


def find_unlabelled_discs(case: Case) -> Iterator[Finding]:
    """Yield CDs of files whose label is the plugin's default."""
    for block in (case.block, *list_isos(case)):
        content = block.get("cd_content")
        names = [text.rsplit("/", 1)[-1] for text in block.read_texts("cd_files") or ()]
        seeds = "user-data" in names or (isinstance(content, Mapping) and "user-data" in content)  # rule seed-label
        if (block.has("cd_files") or block.has("cd_content")) and block.lacks("cd_label") and not seeds:
            yield case.at(block, "cd_content" if block.has("cd_content") else "cd_files", "cd_label left out")


RULES = (
    Rule(
        "iso-unmount", Level.ERROR, Subject.MEDIA, PROXMOX, find_mounted_isos,
        "the ISO stays in the template: clones cannot migrate, and none starts once the ISO is deleted",
        "unmount = true",
    ),
    Rule(
        "iso-index", Level.ERROR, Subject.MEDIA, PROXMOX, find_clashing_isos,
        "the plugin gives the ISO the place and moves the disk, so boot orders and device names are wrong; "
        "a place that the bus has not makes it crash",
        "an index that no disk has; the plugin counts disks from 0 on each bus",
    ),
    Rule(
        "iso-file", Level.ERROR, Subject.MEDIA, PROXMOX, find_strange_volumes,
        "the plugin crashes on a name without :iso/, or the cluster does not find it",
        'STORAGE:iso/NAME.iso, as in "local:iso/debian-13.iso"',
    ),
    Rule(
        "checksum-form", Level.ERROR, Subject.MEDIA, ANY, find_strange_checksums,
        "the download is thrown away after it is complete", '"sha256:" and 64 hexadecimal digits',
    ),
    Rule(
        "checksum-none", Level.WARNING, Subject.MEDIA, ANY, find_unchecked_downloads,
        "whatever the server or a proxy sends is installed", '"sha256:" and what the publisher signs',
    ),
    Rule(
        "cd-file-missing", Level.ERROR, Subject.MEDIA, ANY, find_missing_files,
        "the build ends when it makes the CD", "mend the path; ${path.root} is the template's directory",
    ),
    Rule(
        "cd-label", Level.WARNING, Subject.MEDIA, ANY, find_unlabelled_discs,
        "the label is 'packer': nothing in the guest looks for that",
        'cd_label = "cidata", or what the guest looks for',
    ),
)  # fmt: skip
