"""Rules about the fields themselves: unknown, of the wrong type, missing, deprecated, of a later plugin."""

from collections.abc import Iterator, Mapping

from imagekit.build.packer.lint.fields import BLOCK, BLOCKS, DEPRECATED, FIELDS, LACKED_BY
from imagekit.build.packer.lint.rule import ANY, PROXMOX, QEMU, Case, Finding, Level, Rule, Subject
from imagekit.build.packer.lint.versions import allows_above
from imagekit.build.packer.values import Block, Unknown, Value
from imagekit.definition.problems import quote, suggest


def _list_levels(case: Case) -> Iterator[tuple[Block, Mapping[str, str], str]]:
    """Yield the source and the blocks in it, each with its fields and the prefix of their names."""
    yield case.block, FIELDS[case.source.kind], ""
    for inner in case.block.blocks:
        if inner.kind in BLOCKS:
            yield inner, BLOCKS[inner.kind], f"{inner.kind}."


def _list_unknown(case: Case) -> Iterator[tuple[Finding, str | None]]:
    for block, fields, _ in _list_levels(case):
        for name in block.settings:
            top = block is case.block and (name == "name" or name.startswith("packer_"))
            if fields.get(name, BLOCK) == BLOCK and not top:
                meant = suggest(name, fields)
                if name in fields:
                    finding = case.at(block, name, f"{name} = …", f"write a block: {name} {{ … }}")
                else:
                    fix = f"did you mean {meant}?" if meant else "remove it"
                    finding = case.at(block, name, f"{name} is no field of {_name_owner(case, block)}", fix)
                yield finding, meant
        if block is not case.block:
            continue
        for kind in {inner.kind: inner for inner in case.block.blocks}.values():
            if fields.get(kind.kind) != BLOCK:
                meant = suggest(kind.kind, [name for name, what in fields.items() if what == BLOCK])
                fix = f"did you mean {meant}?" if meant else "remove it"
                found = f"{kind.kind} is no block of {_name_owner(case, block)}"
                yield Finding(kind.file, kind.line, case.name(kind), found, fix), meant


def _name_owner(case: Case, block: Block) -> str:
    return case.source.kind if block is case.block else f"a block {block.kind}"


def find_unknown_fields(case: Case) -> Iterator[Finding]:
    """Yield fields that no release has; those of qemu only when another name was probably meant."""
    for finding, meant in _list_unknown(case):
        if meant is not None or case.source.kind != "qemu":
            yield finding


def find_unheard_fields(case: Case) -> Iterator[Finding]:
    """Yield fields of a qemu source that are like none of the known."""
    for finding, meant in _list_unknown(case):
        if meant is None:
            yield finding


_SAYS = {
    "string": "a string",
    "number": "a number",
    "bool": "true or false",
    "strings": "a list of strings",
    "numbers": "a list of numbers",
    "map": "an object of strings",
    "lists": "a list of lists of strings",
}


def find_wrong_types(case: Case) -> Iterator[Finding]:
    """Yield values that Packer cannot convert to their field's type."""
    for block, fields, _ in _list_levels(case):
        for name, setting in block.settings.items():
            wanted = fields.get(name, BLOCK)
            if wanted != BLOCK and not _fits(setting.value, wanted):
                yield case.at(block, name, f"not {_SAYS[wanted]}", f"write {_SAYS[wanted]}")


def _fits(value: Value, wanted: str) -> bool:
    if value is None or isinstance(value, Unknown):
        return True
    match wanted:
        case "string":
            return isinstance(value, str | int | float)
        case "number":
            return not isinstance(value, bool) and (isinstance(value, int | float) or _is_number(value))
        case "bool":
            return isinstance(value, bool) or value in ("true", "false", "1", "0")
        case "map":
            return isinstance(value, Mapping) and all(_fits(inner, "string") for inner in value.values())
        case "lists":
            return isinstance(value, tuple) and all(_fits(inner, "strings") for inner in value)
    inner = "number" if wanted == "numbers" else "string"
    return isinstance(value, tuple) and all(_fits(each, inner) for each in value)


def _is_number(value: Value) -> bool:
    if not isinstance(value, str):
        return False
    try:
        float(value)
    except ValueError:
        return False
    return True


# What the plugin refuses to start without. Each line: block (empty for the source), field, and how it is said.
_NEEDED = {
    "proxmox-iso": (("", ("node",)), ("network_adapters", ("bridge",)), ("efi_config", ("efi_storage_pool",))),
    "proxmox-clone": (
        ("", ("node",)), ("", ("clone_vm", "clone_vm_id")), ("network_adapters", ("bridge",)),
        ("efi_config", ("efi_storage_pool",)),
    ),
    "qemu": (("", ("iso_url", "iso_urls")), ("", ("iso_checksum", "iso_skip_cache"))),
}  # fmt: skip
_NEEDED_ON_PROXMOX = (
    ("disks", ("storage_pool",)),
    ("boot_iso", ("iso_file", "iso_url", "iso_urls", "cd_files", "cd_content")),
    ("additional_iso_files", ("iso_file", "iso_url", "iso_urls", "cd_files", "cd_content")),
    ("tpm_config", ("tpm_storage_pool",)),
)


def find_missing_fields(case: Case) -> Iterator[Finding]:
    """Yield fields that a source cannot do without."""
    needed = _NEEDED[case.source.kind] + (_NEEDED_ON_PROXMOX if case.source.kind in PROXMOX else ())
    for kind, names in needed:
        for block in case.block.list_blocks(kind) if kind else (case.block,):
            if all(block.lacks(name) for name in names):
                yield case.at(block, names[0], f"{' or '.join(names)} left out", f"set {names[0]}")
    for kind in ("boot_iso", "additional_iso_files"):
        for block in case.block.list_blocks(kind):
            yield from _find_missing_in_iso(case, block)
    old = ("iso_file", "iso_url", "iso_urls")
    nowhere = case.block.lacks_block("boot_iso") and all(case.block.lacks(name) for name in old)
    if case.source.kind == "proxmox-iso" and nowhere:
        yield case.at(case.block, "boot_iso", "no boot_iso", "add a block boot_iso with iso_file")
    if case.block.read_text("communicator", "ssh") == "ssh" and case.block.lacks("ssh_username"):
        yield case.at(case.block, "ssh_username", "ssh_username left out", "set ssh_username")


def _find_missing_in_iso(case: Case, block: Block) -> Iterator[Finding]:
    if block.has("iso_url") or block.has("iso_urls"):
        needed = ["iso_checksum", "iso_storage_pool"]
    elif block.has("cd_content") or block.has("cd_files"):
        needed = ["iso_storage_pool"]
    else:
        needed = []
    for name in needed:
        if block.lacks(name):
            yield case.at(block, name, f"{name} left out", f"set {name}")


def find_deprecated_fields(case: Case) -> Iterator[Finding]:
    """Yield fields that a later release of the plugin drops."""
    for block, _, prefix in _list_levels(case):
        old = DEPRECATED.get(block.kind if prefix else case.source.kind, {})
        for name in block.settings:
            if name in old:
                yield case.at(block, name, f"{name} is deprecated", f"write {old[name]}")


def find_later_fields(case: Case) -> Iterator[Finding]:
    """Yield fields that no version of the plugin has that ``required_plugins`` allows."""
    for plugin in case.template.required_plugins.values():
        if not plugin.source.endswith("/proxmox"):
            continue
        for block, fields, prefix in _list_levels(case):
            names = [*block.settings, *(dict.fromkeys(inner.kind for inner in block.blocks))]
            for name in names:
                lacked = LACKED_BY.get(prefix + name)
                if lacked is None or name not in fields or allows_above(plugin.constraint, lacked):
                    continue
                line = next((inner for inner in block.blocks if inner.kind == name), block)
                last = ".".join(map(str, lacked))
                found = f"{name} is not in plugin {last}, and {quote(plugin.constraint)} allows no later one"
                finding = case.at(block, name, found)
                if name not in block.settings:
                    finding = Finding(line.file, line.line, case.name(line), found)
                yield finding


RULES = (
    Rule(
        "unknown-field", Level.ERROR, Subject.FIELDS, ANY, find_unknown_fields,
        "Packer refuses the template once the plugin is loaded", "use a field that the source has",
    ),
    Rule(
        "field-not-known", Level.WARNING, Subject.FIELDS, QEMU, find_unheard_fields,
        "it is in no plugin up to qemu 1.0.9; a later one may have it", "see that the installed plugin has it",
    ),
    Rule(
        "wrong-type", Level.ERROR, Subject.FIELDS, ANY, find_wrong_types,
        "Packer refuses the template once the plugin is loaded", "write a value of the field's type",
    ),
    Rule(
        "missing-field", Level.ERROR, Subject.FIELDS, ANY, find_missing_fields,
        "the plugin does not start without it", "set it",
    ),
    Rule(
        "deprecated-field", Level.WARNING, Subject.FIELDS, ANY, find_deprecated_fields,
        "a later release of the plugin refuses it", "write the field that replaced it",
    ),
    Rule(
        "field-of-later-plugin", Level.ERROR, Subject.FIELDS, PROXMOX, find_later_fields,
        "packer init installs a plugin that does not know the field", "allow a later plugin: version = \">= 1.2.2\"",
    ),
)  # fmt: skip
