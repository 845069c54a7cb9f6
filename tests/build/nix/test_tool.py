"""Nix on a host: its version and configuration of every kind, and the commands that are made for it."""

import json
from pathlib import Path

import pytest

from imagekit.build.nix.tool import (
    Flavour,
    Nix,
    find_nix,
    list_other_systems,
    make_build_command,
    make_eval_command,
    make_metadata_command,
    make_path_info_command,
    parse_build_output,
    parse_version,
)
from imagekit.errors import ToolFailed, ToolMissing
from imagekit.host.here import ThisMachine
from imagekit.host.local import Completed
from tests.build.nix.recorded_host import RecordedHost, read_recorded
from tests.build.nix.tiny_derivations import make_flake
from tests.nix_store import make_own_store

_ID: dict[str, bytes | Completed] = {"id -un": b"op\n", "id -Gn": b"op wheel\n", "test -w": Completed(b"", "", 1)}


def _make_nix(version: tuple[int, int, int] = (2, 8, 0), flavour: Flavour = Flavour.NIX, builders: str = "") -> Nix:
    return Nix("/usr/bin/nix", flavour, version, "nix", "x86_64-linux", builders=builders)


def _make_settings(**changed: object) -> bytes:
    settings = json.loads(read_recorded("settings-2.8.0.json"))
    for name, value in changed.items():
        settings[name.replace("_", "-")] = {"value": value}
    return json.dumps(settings).encode()


@pytest.mark.parametrize(
    ("said", "flavour", "version"),
    [
        ("nix (Nix) 2.8.0\n", Flavour.NIX, (2, 8, 0)),
        ("nix (Nix) 2.18.1", Flavour.NIX, (2, 18, 1)),
        ("nix (Nix) 2.4pre20210601_5985b8b", Flavour.NIX, (2, 4, 0)),
        ("nix (Nix) 2.26.3\nSystem type: x86_64-linux\n", Flavour.NIX, (2, 26, 3)),
        ("nix (Lix, like Nix) 2.95.1", Flavour.LIX, (2, 95, 1)),
        ("nix (Lix, like Nix) 2.92.0-dev-pre20250117-0d14c2b\nSystem type: x", Flavour.LIX, (2, 92, 0)),
        ("nix (Lix, like Nix) 2.90-beta.0", Flavour.LIX, (2, 90, 0)),
        ("nix (Determinate Nix 3.14.0) 2.32.4", Flavour.DETERMINATE, (2, 32, 4)),
        ("nix (Nix) 2.3.16", Flavour.NIX, (2, 3, 16)),
    ],
)
def test_version_is_read(said: str, flavour: Flavour, version: tuple[int, int, int]) -> None:
    """Every maker's first line gives the maker and three numbers."""
    assert parse_version(said) == (flavour, version)


def test_something_else_called_nix() -> None:
    """A program that is called nix and tells no version of it is refused with what it said."""
    with pytest.raises(ToolFailed, match="does not tell its version") as caught:
        parse_version("usage: nix [-v]\x1b[31m")
    assert caught.value.detail == "usage: nix [-v]"


def test_real_nix_is_described(tmp_path: Path) -> None:
    """This machine's Nix tells version, system, stores and rights; its own store makes everybody trusted."""
    store = make_own_store(tmp_path)
    store.configure(extra_platforms="aarch64-linux", builders="ssh://a.example riscv64-linux - 4 ; ssh://b.example")
    nix = find_nix(ThisMachine(), store.environment)
    assert nix.version >= (2, 8, 0)
    assert nix.program.endswith("nix")
    assert (nix.system, nix.store_dir) == ("x86_64-linux", str(store.store_dir))
    assert (nix.trusted, nix.allowed, nix.substituters, nix.sandbox) == (True, True, (), "false")
    assert "aarch64-linux" in nix.extra_platforms
    assert "big-parallel" in nix.features
    assert list_other_systems(nix) == {"riscv64-linux": ("ssh://a.example",), "x86_64-linux": ("ssh://b.example",)}


@pytest.mark.parametrize("version", ["2.8.0", "2.26.3"])
def test_recorded_nix_is_described(version: str) -> None:
    """What 2.8 and 2.26 answer is read alike; each is asked by the name that its version has first."""
    host = RecordedHost(
        {
            "--version": read_recorded(f"version-{version}.txt"),
            "config --json" if version == "2.8.0" else "config show --json": read_recorded(f"settings-{version}.json"),
            "store info": b'{"trusted":0,"url":"daemon"}',
            **_ID,
        }
    )
    nix = find_nix(host)
    assert (nix.said, nix.system) == (f"nix (Nix) {version}", "x86_64-linux")
    assert nix.features[:2] == ("benchmark", "big-parallel")
    assert (nix.trusted, nix.allowed, nix.builders, nix.store_dir) == (False, True, "", "/nix/store")
    assert sum("config" in line for line in host.asked) == 1
    assert all("--extra-experimental-features nix-command flakes" in line for line in host.asked if "config" in line)


def test_builders_file_is_read() -> None:
    """``@file`` in the builders setting stands for the machines in it, without comments."""
    machines = (
        b"# ours\nssh-ng://builder@linux-builder aarch64-linux,x86_64-linux /etc/nix/key 4 1 big-parallel # fast\n"
    )
    host = RecordedHost(
        {"--version": b"nix (Nix) 2.8.0", "show-config": read_recorded("settings-2.8.0.json"), **_ID},
        {"/etc/nix/machines": machines},
    )
    nix = find_nix(host)
    assert list_other_systems(nix)["aarch64-linux"] == ("ssh-ng://builder@linux-builder",)


@pytest.mark.parametrize(
    ("trusted_users", "allowed_users", "rights"),
    [
        (["root"], ["*"], (False, True)),
        (["root", "op"], ["*"], (True, True)),
        (["@wheel"], ["root"], (True, True)),
        (["*"], ["*"], (True, True)),
        ("root @admin", "@users", (False, False)),
    ],
)
def test_rights_follow_from_the_configuration(
    trusted_users: object, allowed_users: object, rights: tuple[bool, bool]
) -> None:
    """Before ``nix store info`` told it, names, groups and the star of trusted-users and allowed-users decide."""
    settings = _make_settings(trusted_users=trusted_users, allowed_users=allowed_users)
    nix = find_nix(RecordedHost({"--version": b"nix (Nix) 2.8.0", "show-config": settings, **_ID}))
    assert (nix.trusted, nix.allowed) == rights


def test_old_name_is_tried_after_the_new_one() -> None:
    """A current Nix fork that kept only show-config is asked by it when ``config show`` is unknown."""
    host = RecordedHost({"--version": b"nix (Lix, like Nix) 2.95.1", "show-config": _make_settings(), **_ID})
    assert find_nix(host).flavour is Flavour.LIX
    assert [line.rpartition("flakes ")[2] for line in host.asked if "config" in line] == [
        "config show --json",
        "show-config --json",
    ]


def test_no_nix() -> None:
    """Without Nix the sentence names the host, and the hint what to install."""
    with pytest.raises(ToolMissing, match=r"no Nix on ssh://builder@nas\.example") as caught:
        find_nix(RecordedHost({}, programs=()))
    assert "nix-bin" in str(caught.value.hint)


def test_nix_without_flakes() -> None:
    """Nix 2.3 is refused by a sentence before anything is asked of it that it does not know."""
    host = RecordedHost({"--version": b"nix (Nix) 2.3.16\n"})
    with pytest.raises(ToolFailed, match=r"nix \(Nix\) 2\.3\.16 on .* is from before flakes"):
        find_nix(host)
    assert len(host.asked) == 1


@pytest.mark.parametrize("answer", [b"[]", b"{", b"null", b"[" * 100_000])
def test_configuration_that_is_none(answer: bytes) -> None:
    """An answer that is no configuration is an error of the tool, not of ours."""
    with pytest.raises(ToolFailed, match="configuration"):
        find_nix(RecordedHost({"--version": b"nix (Nix) 2.8.0", "show-config": answer, **_ID}))


def test_real_nix_builds_by_our_commands(tmp_path: Path) -> None:
    """Build, evaluation and metadata commands are taken by the real Nix, and the build's answer is read."""
    store, flake = make_own_store(tmp_path), make_flake(tmp_path / "flake")
    host = ThisMachine()
    nix = find_nix(host, store.environment)
    link = tmp_path / "result"
    done = host.run(make_build_command(nix, f"path:{flake}#second", out_link=str(link)), environment=nix.environment)
    built = parse_build_output(done.output)
    assert built.derivation.endswith("-second-2.1-beta.drv")
    assert Path(built.outputs["out"]) == link.resolve()
    argv = make_eval_command(nix, f"path:{flake}#second", apply="each: each.name")
    assert json.loads(host.run(argv, environment=nix.environment).output) == "second-2.1-beta"
    metadata = host.run(make_metadata_command(nix, f"path:{flake}", offline=True), environment=nix.environment)
    assert json.loads(metadata.output)["locks"]["version"] == 7
    assert not (flake / "flake.lock").exists()


@pytest.mark.parametrize("version", ["2.8.0", "2.26.3"])
def test_recorded_build_output(version: str) -> None:
    """The answers of 2.8 and 2.26 to a build are read alike."""
    built = parse_build_output(read_recorded(f"build-{version}.json"))
    assert built.outputs["out"].startswith("/nix/store/")
    assert built.outputs["out"].endswith("-second-2.1-beta")


@pytest.mark.parametrize(
    "output", [b"", b"[]", b"{}", b"[1]", b'[{"drvPath":"/x","outputs":{}}]', b'[{"drvPath":1,"outputs":{"out":"/y"}}]']
)
def test_build_output_that_is_none(output: bytes) -> None:
    """Anything else than one derivation with an output is refused."""
    with pytest.raises(ToolFailed, match="where the built image is"):
        parse_build_output(output)


def test_json_format_is_named_where_it_must_be() -> None:
    """From 2.33 on path-info's format is named, which older ones and Lix would not understand."""
    named = {
        (version, flavour): "--json-format" in make_path_info_command(_make_nix(version, flavour), "/nix/store/x")
        for version, flavour in (((2, 32, 4), Flavour.NIX), ((2, 33, 0), Flavour.NIX), ((2, 95, 1), Flavour.LIX))
    }
    assert list(named.values()) == [False, True, False]


def test_build_never_changes_the_lock() -> None:
    """Every command that reads a flake says that the lock may not be changed."""
    nix = _make_nix()
    for argv in (make_build_command(nix, "x"), make_metadata_command(nix, "x"), make_eval_command(nix, "x")):
        assert "--no-update-lock-file" in argv
