"""Rules about firmware: what is certain to hang or to lose its boot entries later."""

from collections.abc import Iterator

from imagekit.build.packer.lint.rule import ISO, PROXMOX, Case, Finding, Level, Rule, Subject


def find_missing_efi_disk(case: Case) -> Iterator[Finding]:
    """Yield OVMF without a disk for its variables."""
    lacks = case.block.lacks_block("efi_config") and case.block.lacks("efidisk")
    if case.block.read_text("bios") == "ovmf" and lacks:
        yield case.at(case.block, "bios", 'bios = "ovmf" and no efi_config')


def find_useless_efi_disk(case: Case) -> Iterator[Finding]:
    """Yield a disk for EFI variables under a firmware that has none; a clone takes its template's firmware."""
    if case.block.read_text("bios", "seabios" if case.source.kind in ISO else None) != "seabios":
        return
    for block in case.block.list_blocks("efi_config"):
        yield Finding(block.file, block.line, case.name(block), "efi_config, and bios is seabios")


def find_small_efi_type(case: Case) -> Iterator[Finding]:
    """Yield EFI disks of the old size."""
    for block in case.block.list_blocks("efi_config"):
        if block.read_text("efi_type", "4m") == "2m":
            yield case.at(block, "efi_type")


RULES = (
    Rule(
        "efi-disk-missing", Level.ERROR, Subject.FIRMWARE, PROXMOX, find_missing_efi_disk,
        "boot entries live in a temporary file and are gone at the first power-off",
        'add efi_config { efi_storage_pool = "…" efi_type = "4m" }',
    ),
    Rule(
        "efi-disk-useless", Level.ERROR, Subject.FIRMWARE, PROXMOX, find_useless_efi_disk,
        "the guest is installed for BIOS, and never starts when someone switches to UEFI later",
        'set bios = "ovmf", or remove efi_config',
    ),
    Rule(
        "efi-type-2m", Level.WARNING, Subject.FIRMWARE, PROXMOX, find_small_efi_type,
        "the old layout: no Secure Boot, and it cannot be changed later", 'efi_type = "4m"',
    ),
)  # fmt: skip
