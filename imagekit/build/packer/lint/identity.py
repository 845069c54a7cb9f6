"""Rules about what the machine is called and which number it gets."""

import re
from collections.abc import Iterator

from imagekit.build.packer.lint.rule import CLONE, PROXMOX, Case, Finding, Level, Rule, Subject
from imagekit.definition.problems import quote

_PUBLISHED = 9000
# pve-tag of the API's PVE::JSONSchema; what it does not allow fails when the machine is created.
_TAG = re.compile(r"[a-z0-9_][a-z0-9_+.-]*", re.IGNORECASE)
_LABEL = r"[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_NAME = re.compile(rf"{_LABEL}(\.{_LABEL})*")
_POOL = re.compile(r"[A-Za-z0-9_-]+(/[A-Za-z0-9_-]+){0,2}")


def find_strange_tags(case: Case) -> Iterator[Finding]:
    """Yield tags that the cluster refuses."""
    text = case.block.read_text("tags")
    for tag in (text or "").split(";"):
        if text and not _TAG.fullmatch(tag):
            yield case.at(case.block, "tags", f"tag {quote(tag)}" if tag else "an empty tag")


def find_strange_names(case: Case) -> Iterator[Finding]:
    """Yield names that are no DNS names."""
    for name in ("vm_name", "template_name"):
        text = case.block.read_text(name)
        if text is not None and "{{" not in text and not _NAME.fullmatch(text):
            yield case.at(case.block, name)


def find_strange_pools(case: Case) -> Iterator[Finding]:
    """Yield pools that cannot exist."""
    text = case.block.read_text("pool")
    if text is not None and not _POOL.fullmatch(text):
        yield case.at(case.block, "pool")


def find_foreign_ids(case: Case) -> Iterator[Finding]:
    """Yield numbers outside of those that builds may use."""
    number = case.block.read_number("vm_id")
    if case.vm_ids is None or number == _PUBLISHED:
        return
    allowed = f"{case.vm_ids.start} to {case.vm_ids.stop - 1}"
    if case.block.lacks("vm_id") or number == 0:
        yield case.at(case.block, "vm_id", "left out, so it is the next free one", f"a number from {allowed}")
    elif number is not None and number not in case.vm_ids:
        yield case.at(case.block, "vm_id", f"vm_id = {number}", f"a number from {allowed}")


def find_published_ids(case: Case) -> Iterator[Finding]:
    """Yield builds onto the number of the published template."""
    if case.block.read_number("vm_id") == _PUBLISHED:
        yield case.at(case.block, "vm_id", f"vm_id = {_PUBLISHED}")


def find_self_clones(case: Case) -> Iterator[Finding]:
    """Yield clones onto their own template."""
    number = case.block.read_number("clone_vm_id")
    if number is not None and number == case.block.read_number("vm_id"):
        yield case.at(case.block, "clone_vm_id", f"clone_vm_id and vm_id are {number}")


def find_starting_templates(case: Case) -> Iterator[Finding]:
    """Yield templates whose clones start with the node."""
    if case.block.read_flag("onboot") is True:
        yield case.at(case.block, "onboot")


RULES = (
    Rule(
        "tag-form", Level.ERROR, Subject.IDENTITY, PROXMOX, find_strange_tags,
        "the cluster refuses the machine when the build is on its way",
        "letters, digits and _ - + . in each tag, with ; between tags",
    ),
    Rule(
        "name-form", Level.ERROR, Subject.IDENTITY, PROXMOX, find_strange_names,
        "the cluster takes DNS names only", "letters, digits, hyphens and dots",
    ),
    Rule(
        "pool-form", Level.ERROR, Subject.IDENTITY, PROXMOX, find_strange_pools,
        "the cluster refuses the machine when the build is on its way", "letters, digits, _ and -",
    ),
    Rule(
        "vm-id-range", Level.ERROR, Subject.IDENTITY, PROXMOX, find_foreign_ids,
        "nobody but a build owns the reserved numbers; any other may be a machine of someone's",
        "a number of the range that is reserved for builds",
    ),
    Rule(
        "vm-id-published", Level.ERROR, Subject.IDENTITY, PROXMOX, find_published_ids,
        "a failed build would leave no template 9000; only publishing touches it", "a number reserved for builds",
    ),
    Rule(
        "clone-of-itself", Level.ERROR, Subject.IDENTITY, CLONE, find_self_clones,
        "the build would replace the template that it is made from", "another vm_id",
    ),
    Rule(
        "starts-with-node", Level.WARNING, Subject.IDENTITY, PROXMOX, find_starting_templates,
        "a template cannot start, and every clone starts with its node", "remove onboot",
    ),
)  # fmt: skip
