"""UEFI firmware files: a read-only code half and a variable store, of which every machine gets its own copy."""

from dataclasses import dataclass
from pathlib import Path

from imagekit.errors import ToolMissing

# (code, variables), the better first: 4 MiB builds before 2 MiB ones, none with Secure Boot keys enrolled.
_PAIRS = (
    ("/usr/share/OVMF/OVMF_CODE_4M.fd", "/usr/share/OVMF/OVMF_VARS_4M.fd"),  # Debian, Ubuntu
    ("/usr/share/edk2/x64/OVMF_CODE.4m.fd", "/usr/share/edk2/x64/OVMF_VARS.4m.fd"),  # Arch
    ("/usr/share/edk2/ovmf/OVMF_CODE.fd", "/usr/share/edk2/ovmf/OVMF_VARS.fd"),  # Fedora
    ("/opt/homebrew/share/qemu/edk2-x86_64-code.fd", "/opt/homebrew/share/qemu/edk2-i386-vars.fd"),  # Homebrew, Apple
    ("/usr/local/share/qemu/edk2-x86_64-code.fd", "/usr/local/share/qemu/edk2-i386-vars.fd"),  # Homebrew, Intel
    ("/usr/share/OVMF/OVMF_CODE.fd", "/usr/share/OVMF/OVMF_VARS.fd"),
)
# The two halves together fill a flash of 2 or 4 MiB; Homebrew's code half holds less than its variables expect.
_FLASH_BYTES = (2 << 20, 4 << 20)


@dataclass(frozen=True, slots=True)
class FirmwareFiles:
    """A pair that belongs together: ``code`` is shared and never written, ``variables`` is a form to copy."""

    code: Path
    variables: Path


def find_firmware(pairs: tuple[tuple[str, str], ...] = _PAIRS) -> FirmwareFiles:
    """Return the first pair of this host whose sizes fit together; raises :class:`ToolMissing`."""
    for code, variables in pairs:
        found = FirmwareFiles(Path(code), Path(variables))
        if _fits(found):
            return found
    raise ToolMissing(
        "no UEFI firmware for x86-64 machines is installed",
        hint="sudo apt install ovmf (Debian, Ubuntu), sudo dnf install edk2-ovmf (Fedora), brew install qemu (macOS)",
    )


def _fits(pair: FirmwareFiles) -> bool:
    """Say whether both halves exist and fill a flash together; a 2 MiB half with a 4 MiB one never boots."""
    try:
        sizes = pair.code.stat().st_size, pair.variables.stat().st_size
    except OSError:
        return False
    if "edk2-i386-vars" in pair.variables.name:
        return min(sizes) > 0
    return sum(sizes) in _FLASH_BYTES
