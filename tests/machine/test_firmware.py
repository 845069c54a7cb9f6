"""Finding UEFI firmware."""

from pathlib import Path

import pytest

from imagekit.errors import ToolMissing
from imagekit.machine.firmware import find_firmware


def _write(directory: Path, name: str, size: int) -> str:
    path = directory / name
    path.write_bytes(bytes(size))
    return str(path)


def test_this_system_has_a_pair_that_fits() -> None:
    """The installed firmware is found and its halves fill a flash of 2 or 4 MiB."""
    pair = find_firmware()
    assert pair.code.stat().st_size + pair.variables.stat().st_size in (2 << 20, 4 << 20)


def test_halves_of_different_builds_are_passed_over(tmp_path: Path) -> None:
    """A 4 MiB code half with a 2 MiB build's variables never boots, so the next pair is taken."""
    small = _write(tmp_path, "vars2", 128 << 10)
    code4 = _write(tmp_path, "code4", (4 << 20) - (528 << 10))
    vars4 = _write(tmp_path, "vars4", 528 << 10)
    found = find_firmware(((code4, small), (code4, str(tmp_path / "missing")), (code4, vars4)))
    assert found.variables == Path(vars4)


def test_missing_firmware_names_its_package() -> None:
    """Without any pair the error tells what to install."""
    with pytest.raises(ToolMissing) as caught:
        find_firmware(())
    assert "apt install ovmf" in (caught.value.hint or "")
