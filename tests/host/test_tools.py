"""Finding programs, and saying how to get them."""

from pathlib import Path

import pytest

from imagekit.errors import ToolMissing
from imagekit.host import find_tool, read_version
from imagekit.host.tools import PACKAGES, explain_install


def test_program_of_root_is_found_without_its_path(monkeypatch: pytest.MonkeyPatch) -> None:
    """mke2fs is found although an ordinary user's PATH lacks /usr/sbin."""
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    assert Path(find_tool("mke2fs")).name == "mke2fs"


def test_optional_program_may_be_missing() -> None:
    """A program that is not required is an empty answer, not an error."""
    assert find_tool("nonesuch", required=False) == ""


def test_path_must_be_a_program(tmp_path: Path) -> None:
    """A configured path that is no program is told as such, by that path."""
    with pytest.raises(ToolMissing, match="mke2fs is not there"):
        find_tool(str(tmp_path / "mke2fs"))
    assert find_tool(str(tmp_path / "mke2fs"), required=False) == ""


@pytest.mark.parametrize(("system", "expected"), [("linux", "mmdebstrap"), ("darwin", "does not exist for macOS")])
def test_hint_fits_the_system(system: str, expected: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The hint names the package for this system, and says where there is none."""
    monkeypatch.setattr("sys.platform", system)
    assert expected in explain_install("mmdebstrap")


@pytest.mark.parametrize("name", [name for name in PACKAGES if name not in ("newuidmap", "qemu-system-aarch64")])
def test_every_program_is_installed_here(name: str) -> None:
    """Each program that imagekit may call is there where its tests run: a missing one fails, it does not skip."""
    assert find_tool(name)


@pytest.mark.parametrize("name", ["mmdebstrap", "mke2fs", "sfdisk", "qemu-img", "mformat", "ssh"])
def test_version_is_read(name: str) -> None:
    """The version begins with two numbers, whatever else the program prints."""
    assert read_version(name)[0].isdigit()
