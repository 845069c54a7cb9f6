"""Closures as every Nix writes them."""

import json
from pathlib import Path

import pytest

from imagekit.build.nix.closure import list_packages, parse_closure
from imagekit.build.nix.tool import find_nix, make_path_info_command
from imagekit.errors import ToolFailed
from imagekit.host.here import ThisMachine
from imagekit.image import ClosurePath, Package
from tests.build.nix.recorded_host import read_recorded
from tests.build.nix.tiny_derivations import make_flake
from tests.nix_store import make_own_store

_FIRST = "c7ib80mzb2wq920rclvk0vlqy5w3w0qc-first-1.0"
_SECOND = "krrl9g0rsiga63r3a4ajv08gk7pxcj08-second-2.1-beta"


@pytest.mark.parametrize("version", ["2.8.0", "2.26.3"])
def test_recorded_closures(version: str) -> None:
    """The list of 2.8 and the object of 2.26 give the same paths and sizes."""
    closure = parse_closure(read_recorded(f"path-info-{version}.json"))
    assert [each.path.partition("-")[2] for each in closure if "first" in each.path] == ["first-1.0"]
    assert [each.size_bytes for each in closure] == [120, 120]


def test_newest_format() -> None:
    """Format 2, which newer ones write when asked, has names without their store under ``info``."""
    document = {"version": 2, "storeDir": "/nix/store", "info": {_SECOND: {"narSize": 7}, _FIRST: {"narSize": 5}}}
    assert parse_closure(json.dumps(document).encode()) == (
        ClosurePath(f"/nix/store/{_FIRST}", 5),
        ClosurePath(f"/nix/store/{_SECOND}", 7),
    )


def test_real_closure(tmp_path: Path) -> None:
    """The real Nix's answer is read, whatever its store is called."""
    store, flake = make_own_store(tmp_path), make_flake(tmp_path / "flake")
    (built,) = json.loads(store.run("nix", "build", "--no-link", "--json", f"path:{flake}#third").output)
    host = ThisMachine()
    nix = find_nix(host, store.environment)
    done = host.run(make_path_info_command(nix, built["outputs"]["out"]), environment=nix.environment)
    (path,) = parse_closure(done.output, nix.store_dir)
    assert path.path == built["outputs"]["out"]
    assert path.size_bytes == 120  # of a file with two bytes, in Nix's archive format
    assert list_packages([path]) == (Package("third", "3", ""),)


@pytest.mark.parametrize(
    "output",
    [
        b"",
        b"[]",
        b"{}",
        b"7",
        b"[" * 100_000,
        b'[{"path":7,"narSize":1}]',
        b'{"/etc/passwd":{"narSize":1}}',
        f'{{"/nix/store/{_FIRST}":null}}'.encode(),
        f'{{"/nix/store/{_FIRST}":{{"narSize":-1}}}}'.encode(),
        f'{{"/nix/store/../{_FIRST}":{{"narSize":1}}}}'.encode(),
        f'{{"/nix/store/{_FIRST}\\u001b":{{"narSize":1}}}}'.encode(),
        f'[{{"path":"/nix/store/{_FIRST}","valid":false}}]'.encode(),
    ],
)
def test_what_is_no_closure(output: bytes) -> None:
    """Invalid paths, paths elsewhere and other documents are refused as the tool's failure."""
    with pytest.raises(ToolFailed, match="closure"):
        parse_closure(output)


@pytest.mark.parametrize(
    ("name", "package"),
    [
        ("openssl-3.5.1", ("openssl", "3.5.1")),
        ("openssl-3.5.1-bin", ("openssl", "3.5.1-bin")),
        ("nixos-system-pihole-26.05.20260714.8eeec93", ("nixos-system-pihole", "26.05.20260714.8eeec93")),
        ("gtk+3-3.24", ("gtk+3", "3.24")),
        ("perl5.38.0-URI-5.21", ("perl5.38.0-URI", "5.21")),
        ("unit-sshd.service", None),
        ("unit-40-wired.network", None),
        ("etc-hostname", None),
    ],
)
def test_names_are_cut(name: str, package: tuple[str, str] | None) -> None:
    """The version begins at the first dash that no letter follows; what has none is no package."""
    found = list_packages([ClosurePath(f"/nix/store/{_FIRST[:33]}{name}", 1)] * 2)
    assert found == (() if package is None else (Package(*package, ""),))
