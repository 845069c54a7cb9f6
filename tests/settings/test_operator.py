"""Places and habits: flag before variable before file before default, each with its origin."""

import os
from pathlib import Path

import pytest

from imagekit.errors import ExitCode, SettingsInvalid
from imagekit.host.ssh_target import SshTarget
from imagekit.settings import AcceleratorChoice, NixPlace, find_settings_file, name_flag, name_variable, read_settings


def _write(text: str) -> Path:
    path = find_settings_file()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def _refuse(flags: dict[str, str] | None = None) -> tuple[str, ...]:
    with pytest.raises(SettingsInvalid) as caught:
        read_settings(flags or {})
    assert caught.value.exit_code is ExitCode.DEFINITION
    return caught.value.problems


def test_defaults_follow_xdg() -> None:
    """Without anything set, places are in the XDG directories and every origin is default."""
    settings = read_settings({})
    assert settings.store == Path(os.environ["XDG_DATA_HOME"]) / "imagekit"
    assert settings.cache == Path(os.environ["XDG_CACHE_HOME"]) / "imagekit"
    assert settings.state == Path(os.environ["XDG_STATE_HOME"]) / "imagekit"
    assert settings.clones == settings.state / "clones"
    assert settings.accelerator is AcceleratorChoice.AUTO
    assert settings.mke2fs is settings.packer is settings.packer_plugins is None
    assert settings.boot_timeout == 0
    assert set(settings.origins.values()) == {"default"}
    assert list(settings.origins) == [
        "store",
        "cache",
        "state",
        "accelerator",
        "mke2fs",
        "boot_timeout",
        "packer",
        "packer_plugins",
        "nix_place",
        "nix_host",
        "vagrant_provider",
        "vagrant_box",
        "vagrant_cpus",
        "vagrant_memory",
        "vagrant_disk",
    ]
    assert settings.nix_place is NixPlace.AUTO
    assert (settings.nix_host, settings.vagrant_provider, settings.vagrant_box) == (None, None, None)
    assert (settings.vagrant_cpus, settings.vagrant_memory, settings.vagrant_disk) == (2, 4 << 30, 60 << 30)


@pytest.mark.parametrize("value", [None, "", "relative/path"])
def test_xdg_fallbacks(monkeypatch: pytest.MonkeyPatch, value: str | None) -> None:
    """An XDG variable that is unset, empty or relative counts as unset, on every system."""
    for name in ("XDG_DATA_HOME", "XDG_CACHE_HOME", "XDG_STATE_HOME", "XDG_CONFIG_HOME"):
        if value is None:
            monkeypatch.delenv(name)
        else:
            monkeypatch.setenv(name, value)
    home, settings = Path(os.environ["HOME"]), read_settings({})
    assert settings.store == home / ".local/share/imagekit"
    assert settings.cache == home / ".cache/imagekit"
    assert settings.state == home / ".local/state/imagekit"
    assert find_settings_file() == home / ".config/imagekit/settings.toml"


def test_precedence(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A flag hides the variable, which hides the file, which hides the default; the origin says which it was."""
    _write('\nstore = "/from/file"\n')
    assert read_settings({}).store == Path("/from/file")
    assert read_settings({}).origins["store"] == "settings.toml:2"
    monkeypatch.setenv("IMAGEKIT_STORE", "/from/variable")
    assert read_settings({}).store == Path("/from/variable")
    assert read_settings({}).origins["store"] == "IMAGEKIT_STORE"
    settings = read_settings({"store": "/from/flag"})
    assert settings.store == Path("/from/flag")
    assert settings.origins["store"] == "--store"
    assert settings.origins["cache"] == "default"
    monkeypatch.setenv("IMAGEKIT_STORE", "")
    assert read_settings({}).store == Path("/from/file")


def test_every_setting_from_every_source(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Each setting can be given in each of the three places and means the same there."""
    program = tmp_path / "a program"
    program.touch(mode=0o755)
    given = {
        "store": "/s",
        "cache": "/c",
        "state": "/t",
        "accelerator": "tcg",
        "mke2fs": str(program),
        "boot_timeout": "90",
        "packer": str(program),
        "packer_plugins": "/p",
        "nix_place": "remote",
        "nix_host": "ssh://builder@nas.example:2222",
        "vagrant_provider": "utm",
        "vagrant_box": "bento/debian-12",
        "vagrant_cpus": "4",
        "vagrant_memory": "8G",
        "vagrant_disk": "100G",
    }
    flags = read_settings(given)
    for name, value in given.items():
        monkeypatch.setenv(name_variable(name), value)
    variables = read_settings({})
    for name in given:
        monkeypatch.delenv(name_variable(name))
    written = {name: value for name, value in given.items() if name != "boot_timeout"}
    _write("".join(f'{name} = "{value}"\n' for name, value in written.items()) + "boot_timeout=90")
    file = read_settings({})
    for settings in (flags, variables, file):
        assert (settings.store, settings.cache, settings.state) == (Path("/s"), Path("/c"), Path("/t"))
        assert settings.accelerator is AcceleratorChoice.TCG
        assert settings.mke2fs == program
        assert settings.boot_timeout == 90
        assert (settings.packer, settings.packer_plugins) == (program, Path("/p"))
        assert settings.nix_place is NixPlace.REMOTE
        assert settings.nix_host == SshTarget("nas.example", "builder", 2222)
        assert (settings.vagrant_provider, settings.vagrant_box) == ("utm", "bento/debian-12")
        assert (settings.vagrant_cpus, settings.vagrant_memory, settings.vagrant_disk) == (4, 8 << 30, 100 << 30)
        assert "default" not in settings.origins.values()
    assert list(flags.origins.values()) == [name_flag(name) for name in given]
    assert list(variables.origins.values()) == [name_variable(name) for name in given]
    lines = {name: f"settings.toml:{line}" for line, name in enumerate((*written, "boot_timeout"), 1)}
    assert dict(file.origins) == lines


def test_packers_own_variable(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """PACKER_PLUGIN_PATH names the plugins as it does for Packer, and is weaker than imagekit's own variable."""
    _write('packer_plugins = "/from/file"\n')
    monkeypatch.setenv("PACKER_PLUGIN_PATH", "/from/packer")
    assert read_settings({}).packer_plugins == Path("/from/packer")
    assert read_settings({}).origins["packer_plugins"] == "PACKER_PLUGIN_PATH"
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PACKER_PLUGIN_PATH", "plugins")
    assert read_settings({}).packer_plugins == tmp_path / "plugins"
    monkeypatch.setenv("IMAGEKIT_PACKER_PLUGINS", "/from/imagekit")
    assert read_settings({}).packer_plugins == Path("/from/imagekit")
    monkeypatch.setenv("PACKER_PLUGIN_PATH", "")
    monkeypatch.delenv("IMAGEKIT_PACKER_PLUGINS")
    assert read_settings({}).packer_plugins == Path("/from/file")


def test_home_directory_is_expanded() -> None:
    """A leading ~ is the home directory, since no shell replaces it in a file."""
    _write('store = "~/images"\n')
    assert read_settings({}).store == Path(os.environ["HOME"]) / "images"


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('stor = "/x"', "stor: unknown key; did you mean 'store'?"),
        (
            "zzz = 1",
            "zzz: unknown key; known here: accelerator, boot_timeout, cache, cluster, mke2fs, nix_host, nix_place, ",
        ),
        ("store = 1", "store: expected a string, found the integer 1"),
        ('store = "relative"', "store: 'relative' is not an absolute path"),
        ('store = "/a\\u0000b"', "store: '/a\\x00b' is not an absolute path"),
        ('store = "~nobody-has-this-name/x"', "names the home of an account that has none"),
        ('accelerator = "kvn"', "accelerator: 'kvn' is not one of auto, kvm, hvf, tcg; did you mean 'kvm'?"),
        ("accelerator = true", "accelerator: expected a string, found the boolean true"),
        ('mke2fs = "/nonexistent/mke2fs"', "mke2fs: '/nonexistent/mke2fs' is not a program that can be run"),
        ('nix_place = "mac"', "nix_place: 'mac' is not one of auto, local, remote, vagrant"),
        ('nix_host = "nas"', "nix_host: 'nas' is no SSH address: ssh://[user@]host[:port]"),
        ('nix_host = "ssh://me:hunter2@nas"', "nix_host: an SSH address may not hold a password"),
        ('vagrant_provider = "a b"', "cannot name a provider"),
        ('vagrant_box = "../box"', "cannot name a box"),
        ("vagrant_cpus = 0", "vagrant_cpus: the integer 0 is out of range; it must be 1 to 512"),
        ('vagrant_memory = "1M"', "vagrant_memory: 1048576 bytes are out of range; at least 1G are needed"),
        ('vagrant_disk = "much"', "vagrant_disk: 'much' is not a size"),
        ('packer = "packer"', "packer: 'packer' is not an absolute path"),
        ('packer_plugins = "plugins"', "packer_plugins: 'plugins' is not an absolute path"),
        ("cluster = 1", "cluster: expected a table, found the integer 1"),
        ('cluster = { nod = "pve1" }', "cluster.nod: unknown key; did you mean 'node'?"),
        ('mke2fs = "/"', "mke2fs: '/' is not a program that can be run"),
        ("boot_timeout = -1", "boot_timeout: the integer -1 is out of range; it must be 0 (automatic) to 86400"),
        ("boot_timeout = 1.5", "boot_timeout: expected whole seconds, found the float 1.5"),
        ("boot_timeout = true", "boot_timeout: expected whole seconds, found the boolean true"),
        ("boot_timeout =", "not TOML: invalid value in column 15"),
    ],
)
def test_wrong_line(line: str, said: str) -> None:
    """A mistake in the file is told with its line, and the program is not guessed at."""
    _write(f"\n{line}\n")
    (problem,) = _refuse()
    assert problem.startswith("settings.toml:2: ")
    assert said in problem


def test_wrong_variable_and_flag(monkeypatch: pytest.MonkeyPatch) -> None:
    """Mistakes of all sources come together, each with the place where it was made."""
    _write('state = "x"\n')
    monkeypatch.setenv("IMAGEKIT_CACHE", "./cache")
    monkeypatch.setenv("IMAGEKIT_BOOT_TIMEOUT", "2m")
    assert _refuse({"store": "store", "acelerator": "kvm"}) == (
        "--acelerator: unknown setting; did you mean 'accelerator'?",
        "--store: 'store' is not an absolute path",
        "IMAGEKIT_CACHE: './cache' is not an absolute path",
        "IMAGEKIT_BOOT_TIMEOUT: expected whole seconds, found '2m'",
        "settings.toml:1: state: 'x' is not an absolute path",
    )


@pytest.mark.parametrize("value", ["١", "1" * 12, "-1", "1.5", " 1"])
def test_wrong_seconds_in_variable(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    """Only ASCII digits of a sane length are seconds."""
    monkeypatch.setenv("IMAGEKIT_BOOT_TIMEOUT", value)
    (problem,) = _refuse()
    assert problem.startswith("IMAGEKIT_BOOT_TIMEOUT: expected whole seconds, found ")


def test_program_must_be_executable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An mke2fs that cannot be run is refused now, not in the middle of a build."""
    program = tmp_path / "mke2fs"
    program.touch(mode=0o644)
    monkeypatch.setenv("IMAGEKIT_MKE2FS", str(program))
    (problem,) = _refuse()
    assert "is not a program that can be run" in problem


def test_wrong_file_is_not_passed_over() -> None:
    """A settings file that is there and cannot be read is an error; defaults would be a guess."""
    path = find_settings_file()
    path.parent.mkdir(parents=True)
    path.symlink_to("nowhere")
    with pytest.raises(SettingsInvalid, match="is not a regular file"):
        read_settings({})


def test_account_without_home(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where there is no home directory, the hint says which variables help."""

    def fail() -> Path:
        raise RuntimeError("no home")

    monkeypatch.delenv("XDG_CONFIG_HOME")
    monkeypatch.setattr(Path, "home", fail)
    with pytest.raises(SettingsInvalid) as caught:
        read_settings({})
    assert caught.value.hint == "set HOME or XDG_CONFIG_HOME to an absolute path"
