"""Which Packer is taken, which is passed over and why, and what is said of plugins."""

import hashlib
import os
import platform
from pathlib import Path

import pytest

from imagekit.build.packer.plugins import check_sum, find_plugin_directory, list_plugins, parse_version
from imagekit.build.packer.tool import (
    PackerTool,
    describe_packer,
    find_packer,
    read_packer_version,
    require_plugins,
)
from imagekit.errors import ToolMissing
from imagekit.host import run

_QEMU = "github.com/hashicorp/qemu"
_MACHINE = {"x86_64": "amd64", "aarch64": "arm64"}[platform.machine()]


def write_program(path: Path, says: str) -> Path:
    """Write a program that answers anything with ``says``."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\ncat <<'END'\n{says}\nEND\n")
    path.chmod(0o755)
    return path


def write_plugin(directory: Path, version: str, source: str = _QEMU, total: str | None = None) -> Path:
    """Install a plugin file as ``packer plugins install`` does; ``total`` replaces the sum, empty for none."""
    name = f"packer-plugin-{source.rpartition('/')[2]}_v{version}_x5.0_linux_{_MACHINE}"
    program = write_program(directory / source / name, version)
    if total != "":
        program.with_name(f"{name}_SHA256SUM").write_text(total or hashlib.sha256(program.read_bytes()).hexdigest())
    return program


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the only directory on PATH beside the system's, which have no Packer here."""
    directory = tmp_path / "bin"
    directory.mkdir()
    monkeypatch.setenv("PATH", f"{directory}:/usr/bin:/bin")
    monkeypatch.setattr("imagekit.build.packer.tool._EXTRA_PATH", ())
    for name in ("PACKER_PLUGIN_PATH", "PACKER_CONFIG_DIR"):
        monkeypatch.delenv(name, raising=False)
    return directory


def test_real_packer_is_found(found_packer: PackerTool) -> None:
    """The pinned Packer tells its version, and its plugins are read from their file names."""
    assert parse_version(found_packer.version) >= (1, 14, 0)
    assert found_packer.plugins[_QEMU] == "1.0.9"
    assert found_packer.plugins["github.com/hashicorp/ansible"] == "1.0.3"
    assert found_packer.faults == ()
    require_plugins(found_packer, {_QEMU: "1.0.9", "github.com/hashicorp/ansible": "1.0"})
    assert describe_packer(found_packer)[_QEMU] == "1.0.9"


def test_setting_comes_first(path: Path, tmp_path: Path) -> None:
    """The setting's Packer is taken, without a look at PATH; a wrong one is refused, not replaced."""
    write_program(path / "packer", "Packer v1.16.0")
    own = write_program(tmp_path / "own", "Packer v1.15.1")
    assert find_packer(own, None, tmp_path).version == "1.15.1"
    with pytest.raises(ToolMissing, match="absent is not a program"):
        find_packer(tmp_path / "absent", None, tmp_path)


def test_path_comes_before_the_cache(path: Path, tmp_path: Path) -> None:
    """A good Packer on PATH is taken before the cached one."""
    write_program(path / "packer", "Packer v1.14.0")
    write_program(tmp_path / "packer-tools/current/bin/packer", "Packer v1.16.0")
    assert find_packer(None, None, tmp_path).program == path / "packer"


def test_old_packer_is_passed_over(path: Path, tmp_path: Path) -> None:
    """Debian's 1.6.6 gives way to a good cached one with its plugins, and is refused with its version without one."""
    write_program(path / "packer", "Packer v1.6.6")
    with pytest.raises(ToolMissing, match=r"packer is Packer 1\.6\.6, and 1\.14 or later is needed") as caught:
        find_packer(None, None, tmp_path)
    assert ".ci/setup --packer" in str(caught.value.hint)
    cached = write_program(tmp_path / "packer-tools/current/bin/packer", "Packer v1.16.0")
    write_plugin(tmp_path / "packer-tools/current/plugins", "1.0.9")
    tool = find_packer(None, None, tmp_path)
    assert (tool.program, dict(tool.plugins)) == (cached, {_QEMU: "1.0.9"})


def test_another_packer_is_known_and_kept_from_writing(path: Path, tmp_path: Path) -> None:
    """cracklib's packer takes its argument for a file to write: it is called another program, and writes nowhere."""
    other = path / "packer"
    other.write_text('#!/bin/sh\n: > "$1.pwd"\necho 0 0\n')
    other.chmod(0o755)
    behind = write_program(tmp_path / "behind" / "packer", "Packer v1.16.0")
    with pytest.raises(ToolMissing, match="another program of that name"):
        find_packer(None, None, tmp_path)
    os.environ["PATH"] += f":{behind.parent}"
    assert find_packer(None, None, tmp_path).program == behind
    assert not Path("version.pwd").exists()


def test_no_packer_says_how_to_get_one(path: Path, tmp_path: Path) -> None:
    """Without any Packer the error has exit code 9 and names both ways, and why imagekit brings none."""
    with pytest.raises(ToolMissing, match="Packer is not installed") as caught:
        find_packer(None, None, tmp_path)
    assert caught.value.exit_code == 9
    assert "BUSL" in str(caught.value.hint)


def test_program_that_hangs_is_no_packer(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A program that does not answer is passed over after a while."""
    slow = write_program(path / "packer", "")
    slow.write_text("#!/bin/sh\nexec sleep 60\n")
    monkeypatch.setattr(
        "imagekit.build.packer.tool.run", lambda argv, **options: run(argv, **{**options, "timeout": 0.2})
    )
    assert read_packer_version(slow) == ("", f"{slow} does not answer")


def test_environment_is_private(tmp_path: Path) -> None:
    """Packer is told to keep its log, settings and downloads in our places and to ask nobody for news."""
    tool = PackerTool(Path("/p"), "1.16.0", Path("/plugins"), {})
    environment = tool.environment(tmp_path / "private", tmp_path / "cache")
    assert environment["TMPDIR"] == str(tmp_path / "private")
    assert environment["PACKER_CONFIG_DIR"].startswith(str(tmp_path / "private"))
    assert environment["PACKER_CACHE_DIR"] == str(tmp_path / "cache" / "packer")
    assert environment["PACKER_PLUGIN_PATH"] == "/plugins"
    assert environment["CHECKPOINT_DISABLE"] == "1"
    assert "PACKER_PLUGIN_PATH" not in PackerTool(Path("/p"), "1", None, {}).environment(tmp_path, tmp_path)


def test_newest_usable_plugin_counts(tmp_path: Path) -> None:
    """Of several versions the highest by number is named; files for other machines and other names are not there."""
    for version in ("1.0.9", "1.0.10", "1.0.2"):
        write_plugin(tmp_path, version)
    (tmp_path / _QEMU / "packer-plugin-qemu_v9.0.0_x5.0_plan9_amd64").write_text("")
    (tmp_path / _QEMU / "packer-plugin-other_v9.0.0_x5.0_linux_amd64").write_text("")
    assert [plugin.version for plugin in list_plugins(tmp_path)] == ["1.0.10", "1.0.9", "1.0.2"]


def test_plugin_that_packer_would_ignore_is_named(tmp_path: Path) -> None:
    """A sum file that is missing or wrong makes a plugin vanish without a word: the word is ours."""
    write_plugin(tmp_path, "1.0.9", total="")
    [plugin] = list_plugins(tmp_path)
    assert "is missing or holds no SHA-256" in plugin.fault
    write_plugin(tmp_path, "1.0.9", total="0" * 64)
    [plugin] = list_plugins(tmp_path)
    assert plugin.fault == ""
    assert "the sum of another file" in check_sum(plugin)
    tool = PackerTool(Path("/p/packer"), "1.16.0", tmp_path, {})
    with pytest.raises(ToolMissing, match="the sum of another file"):
        require_plugins(tool, {_QEMU: "1.0.9"})


def test_real_packer_agrees_about_sums(found_packer: PackerTool, tmp_path: Path) -> None:
    """Packer finds the plugins that we find, and none whose sum is wrong."""
    assert found_packer.plugin_directory is not None
    [real] = [one for one in list_plugins(found_packer.plugin_directory) if one.source == _QEMU]
    place = tmp_path / "plugins" / _QEMU
    place.mkdir(parents=True)
    (place / real.program.name).symlink_to(real.program)
    beside = place / f"{real.program.name}_SHA256SUM"
    for text, expected in ((hashlib.sha256(real.program.read_bytes()).hexdigest(), 1), ("0" * 64, 0)):
        beside.write_text(text)
        tool = PackerTool(found_packer.program, "", tmp_path / "plugins", {})
        said = run(
            [os.fspath(tool.program), "plugins", "installed"], environment=tool.environment(tmp_path, tmp_path)
        ).output
        assert said.count(b"packer-plugin-qemu") == expected
        assert sum(check_sum(one) == "" for one in list_plugins(tmp_path / "plugins")) == expected


def test_all_missing_plugins_are_named_at_once(tmp_path: Path) -> None:
    """The error has the line that installs each plugin, with the directory that this Packer looks in."""
    write_plugin(tmp_path, "1.0.1")
    tool = PackerTool(Path("/p/packer"), "1.16.0", tmp_path, {})
    with pytest.raises(ToolMissing) as caught:
        require_plugins(tool, {_QEMU: "1.0.9", "github.com/hashicorp/proxmox": "1.2.2"})
    assert "qemu is 1.0.1, and 1.0.9 or later is needed" in caught.value.message
    assert "proxmox is not installed" in caught.value.message
    line = f"PACKER_PLUGIN_PATH={tmp_path} /p/packer plugins install github.com/hashicorp/proxmox '>= 1.2.2'"
    assert line in str(caught.value.hint)


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({"PACKER_PLUGIN_PATH": "/a", "HOME": "/h"}, "/a"),
        ({"PACKER_CONFIG_DIR": "/c", "HOME": "/h"}, "/c/.packer.d/plugins"),
        ({"XDG_CONFIG_HOME": "/x", "HOME": "/h"}, "/x/packer/plugins"),
        ({"HOME": "/h"}, "/h/.config/packer/plugins"),
        ({}, None),
    ],
)
def test_plugin_directory_is_packers_own(environment: dict[str, str], expected: str | None) -> None:
    """The user's plugins are looked for where that user's Packer looks."""
    assert find_plugin_directory(environment) == (Path(expected) if expected else None)


def test_old_plugin_directory_is_still_used(tmp_path: Path) -> None:
    """A ~/.packer.d of old comes before ~/.config, as in Packer."""
    (tmp_path / ".packer.d").mkdir()
    assert find_plugin_directory({"HOME": str(tmp_path)}) == tmp_path / ".packer.d/plugins"


@pytest.mark.parametrize(
    ("text", "expected"),
    [("1.14", (1, 14, 0)), ("1.16.0", (1, 16, 0)), ("1.0.3-dev", (1, 0, 3)), ("", (0, 0, 0)), ("x", (0, 0, 0))],
)
def test_versions_are_numbers(text: str, expected: tuple[int, int, int]) -> None:
    """A version is compared by its numbers."""
    assert parse_version(text) == expected
