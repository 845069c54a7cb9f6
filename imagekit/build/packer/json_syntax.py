"""A JSON template in the shape of an HCL one, by the rules of HCL's JSON syntax (hashicorp/hcl ``json/spec.md``).

JSON does not say what is a block and what is a setting that holds an object; the kinds of blocks that Packer's
language and the plugins know decide it.
"""

from collections.abc import Iterator

from imagekit.build.packer.hcl import Attribute, BlockSyntax, Body, Expression, Keyed, Listed, Literal

# Blocks with the number of their labels.
_TOP = {"packer": 0, "variable": 1, "locals": 0, "local": 1, "source": 2, "build": 0, "data": 2}
_INNER = {
    "required_plugins": 0, "source": 1, "provisioner": 1, "post-processor": 1, "post-processors": 0,
    "error-cleanup-provisioner": 1, "validation": 0, "dynamic": 1, "content": 0, "boot_iso": 0,
    "additional_iso_files": 0, "disks": 0, "efi_config": 0, "ipconfig": 0, "network_adapters": 0, "pci_devices": 0,
    "rng0": 0, "tpm_config": 0, "vga": 0, "qemu_img_args": 0,
}  # fmt: skip


def read_json_body(expression: Keyed) -> Body:
    """Return the top of a JSON template as a body."""
    return _read_body(expression, _TOP)


def _read_body(expression: Keyed, kinds: dict[str, int]) -> Body:
    attributes: dict[str, Attribute] = {}
    blocks: list[BlockSyntax] = []
    for key, value, line in expression.items:
        name = str(key.value) if isinstance(key, Literal) else ""
        if name in ("", "//"):  # "//" is JSON's way to comment in HCL
            continue
        if name in kinds and isinstance(value, Keyed | Listed):
            blocks.extend(_read_blocks(name, (), value, kinds[name], line))
        else:
            attributes[name] = Attribute(name, value, line)
    return Body(attributes, tuple(blocks))


def _read_blocks(
    kind: str, labels: tuple[str, ...], value: Expression, wanted: int, line: int
) -> Iterator[BlockSyntax]:
    """Yield the blocks under a key: each label is one more level of objects, and a list is one block after another."""
    if isinstance(value, Listed):
        for item in value.items:
            yield from _read_blocks(kind, labels, item, wanted, line)
    elif isinstance(value, Keyed) and wanted:
        for key, inner, at in value.items:
            if isinstance(key, Literal):
                yield from _read_blocks(kind, (*labels, str(key.value)), inner, wanted - 1, at)
    elif isinstance(value, Keyed):
        yield BlockSyntax(kind, labels, _read_body(value, _INNER), line)
