"""A whole project's sources: flake, containers and media moved together, and each problem only its own source's."""

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from imagekit.build.nix.stage import stage_flake
from imagekit.definition import Project, read_project
from imagekit.errors import DefinitionInvalid, HostFailed, ToolFailed, ToolMissing
from imagekit.pipeline.update import Update, find_updates, write_updates
from tests.build.update.flakes import change_dependency, make_flake
from tests.build.update.real_registry import RealRegistry, run_registry
from tests.build.update.web_server import Reply, WebServer, serve_pages
from tests.nix_store import OwnStore, make_own_store

_OLD = "0" * 64


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> OwnStore:
    """Return a Nix store of these tests' own."""
    return make_own_store(tmp_path_factory.mktemp("store"))


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealRegistry]:
    """Return a real registry with an old and a new version of one container."""
    with run_registry(tmp_path_factory.mktemp("registry")) as running:
        yield running


@pytest.fixture
def web() -> Iterator[WebServer]:
    """Return a web server without pages."""
    with serve_pages() as server:
        yield server


@pytest.fixture
def place(
    tmp_path: Path, store: OwnStore, registry: RealRegistry, web: WebServer, monkeypatch: pytest.MonkeyPatch
) -> Path:
    """Return a project's directory: an image from a flake with a container, and one from a medium with an address.

    Each of the three sources has something newer.
    """
    for name, value in store.environment.items():
        monkeypatch.setenv(name, value)
    flake = make_flake(tmp_path / "flake", tmp_path / "dependency", store)
    change_dependency(tmp_path / "dependency", 2)
    old = registry.push("p/unbound", "1.22.0", b"old")
    registry.push("p/unbound", "1.23.0", b"new")
    locked = {"name": f"{registry.host}/p/unbound", "tag": "1.22.0", "digest": old, "hash": None}
    (flake / "nix" / "pihole").mkdir(parents=True)
    (flake / "nix" / "pihole" / "images.json").write_text(json.dumps({"unbound": locked}, indent=2))
    web.pages["/latest/SHA256SUMS"] = Reply(f"{'1' * 64}  a.iso\n".encode())
    project = tmp_path / "project"
    project.mkdir()
    (project / "imagekit.toml").write_text(
        f"""\
# the house
[images.pihole]
kind = "sd-image"
builder = "nix"
nix = {{ flake = "../flake" }}

[images.web]
builder = "packer"
[images.web.packer]
source = "qemu"
iso = {{ url = "{web.url}/latest/a.iso", sha256 = "{_OLD}" }}  # moves
"""
    )
    return project


def _find(place: Path, *names: str) -> Update:
    return find_updates(names, read_project(place))


def _sources(found: Update) -> list[str]:
    return [each.name for one in found.renewals for each in one.changes]


def test_everything_moves_and_nothing_else(place: Path) -> None:
    """All three sources are found, a look changes nothing, writing changes their files, and then all is newest."""
    before = {
        path: path.read_bytes() for path in place.parent.rglob("*") if path.is_file() and "nix/st" not in str(path)
    }
    found = _find(place)
    assert found.problems == []
    assert _sources(found) == ["input dependency", "container unbound", "iso of web"]
    assert {path: path.read_bytes() for path in before} == before
    written = write_updates(found)
    changed = {path for path in before if path.read_bytes() != before[path]}
    flake = place.parent / "flake"
    assert changed == {flake / "flake.lock", flake / "nix/pihole/images.json", place / "imagekit.toml"}
    assert changed == {one.path.resolve() for one in written}
    assert (place / "imagekit.toml").read_text().count("# moves") == 1
    again = _find(place)
    assert (again.renewals, again.problems, again.sources) == ([], [], 3)


def test_named_images_only(place: Path) -> None:
    """Only the images that are named are looked after; one that is not defined is refused."""
    assert _sources(_find(place, "web")) == ["iso of web"]
    with pytest.raises(DefinitionInvalid):
        _find(place, "wbe")


def test_each_problem_is_its_own(place: Path, monkeypatch: pytest.MonkeyPatch, web: WebServer) -> None:
    """Without Nix, and with a publisher that fails, the container is moved all the same."""
    monkeypatch.setenv("PATH", str(place))
    monkeypatch.setattr("imagekit.host.here.NIX_PLACES", ())
    web.pages["/latest/SHA256SUMS"] = Reply(status=500)
    found = _find(place)
    assert [type(each) for each in found.problems] == [ToolMissing, HostFailed]
    assert _sources(found) == ["container unbound"]
    assert len(write_updates(found)) == 1


def test_broken_input_leaves_its_lock(place: Path) -> None:
    """An input that cannot be reached is a problem with what Nix said; containers and media are moved."""
    (place.parent / "dependency" / "flake.nix").unlink()
    found = _find(place)
    assert [type(each) for each in found.problems] == [ToolFailed]
    assert _sources(found) == ["container unbound", "iso of web"]


def test_one_container_of_two(place: Path) -> None:
    """A container that nobody has any more stays locked; the other one beside it is moved."""
    path = place.parent / "flake/nix/pihole/images.json"
    document = json.loads(path.read_text())
    document["gone"] = {**document["unbound"], "name": document["unbound"]["name"] + "-gone"}
    path.write_text(json.dumps(document))
    found = _find(place, "pihole")
    assert [type(each) for each in found.problems] == [HostFailed]
    assert _sources(found) == ["input dependency", "container unbound"]
    write_updates(found)
    assert json.loads(path.read_text())["gone"] == document["gone"]


def test_change_meanwhile_is_kept(place: Path) -> None:
    """What an editor saved between the look and the writing stays, and is a problem."""
    found = _find(place)
    toml = place / "imagekit.toml"
    toml.write_text(toml.read_text() + "# mine\n")
    assert len(write_updates(found)) == 2
    assert [each.message.partition(" was ")[2][:26] for each in found.problems] == ["changed by somebody else m"]
    assert toml.read_text().endswith("# mine\n")


def test_locks_of_our_own_flake_are_the_projects(
    place: Path, store: OwnStore, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """imagekit's own flake is never written: the project gets locks of its own, which the next build is staged with."""
    flake = place.parent / "flake"
    monkeypatch.setattr("imagekit.build.nix.stage._PACKAGED", tmp_path / "none")
    monkeypatch.setattr("imagekit.build.nix.stage._CHECKOUT", flake)
    text = (place / "imagekit.toml").read_text().replace('nix = { flake = "../flake" }\n', "")
    (place / "imagekit.toml").write_text(text)
    before = {path: path.read_bytes() for path in flake.rglob("*") if path.is_file()}
    found = _find(place, "pihole")
    assert found.problems == []
    write_updates(found)
    assert {path: path.read_bytes() for path in flake.rglob("*") if path.is_file()} == before
    locks = place / "imagekit.lock"
    assert sorted(path.name for path in locks.iterdir()) == ["flake.lock", "images.json"]
    project = read_project(place)
    staged = stage_flake(project.find_image("pihole"), project.path, tmp_path / "staged").directory
    assert (staged / "flake.lock").read_bytes() == (locks / "flake.lock").read_bytes()
    assert (staged / "nix/pihole/images.json").read_bytes() == (locks / "images.json").read_bytes()
    assert _find(place, "pihole").renewals == []
    bundled = json.loads((flake / "nix/pihole/images.json").read_text())
    newer = bundled | {"second": bundled["unbound"]}
    (flake / "nix/pihole/images.json").write_text(json.dumps(newer))
    write_updates(_find(place, "pihole"))
    kept = json.loads((locks / "images.json").read_text())
    assert list(kept) == ["unbound", "second"]
    assert kept["second"]["tag"] == "1.23.0"


def test_no_project_no_place_for_locks(monkeypatch: pytest.MonkeyPatch, place: Path) -> None:
    """Without an imagekit.toml there is no place for locks, and one sentence says so."""
    project = read_project(place)
    image = project.find_image("pihole")
    from dataclasses import replace

    alone = Project(None, {"pihole": replace(image, nix=replace(image.nix, flake=None))}, {})
    found = find_updates((), alone)
    assert [type(each) for each in found.problems] == [DefinitionInvalid]
    assert found.renewals == []


def test_checksum_that_nobody_tells(place: Path, web: WebServer) -> None:
    """A medium without a list beside it is left, with a note."""
    web.pages.clear()
    found = _find(place, "web")
    assert (found.renewals, found.problems) == ([], [])
    assert found.notes == [f"nobody tells a checksum of {web.url}/latest/a.iso: it stays as it is"]


def test_checksum_by_sha512(place: Path, web: WebServer) -> None:
    """Where only SHA-512 is published the medium is fetched for its SHA-256."""
    content = b"medium" * 100
    web.pages = {
        "/latest/SHA512SUMS": Reply(f"{hashlib.sha512(content).hexdigest()} *a.iso\n".encode()),
        "/latest/a.iso": Reply(content),
    }
    write_updates(_find(place, "web"))
    assert hashlib.sha256(content).hexdigest() in (place / "imagekit.toml").read_text()
