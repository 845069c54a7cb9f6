"""``imagekit update``: what moved as a table or a document, a look that changes nothing, and how problems end."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.build.update.flakes import change_dependency, make_flake
from tests.build.update.web_server import Reply, WebServer, serve_pages
from tests.cli.conftest import Program
from tests.nix_store import OwnStore, make_own_store


@pytest.fixture(scope="module")
def nix_store(tmp_path_factory: pytest.TempPathFactory) -> OwnStore:
    """Return a Nix store of these tests' own."""
    return make_own_store(tmp_path_factory.mktemp("store"))


@pytest.fixture
def web() -> Iterator[WebServer]:
    """Return a web server that tells a newer checksum of ``a.iso``."""
    with serve_pages() as server:
        server.pages["/SHA256SUMS"] = Reply(f"{'1' * 64}  a.iso\n".encode())
        yield server


@pytest.fixture
def project(
    program: Program, tmp_path: Path, web: WebServer, nix_store: OwnStore, monkeypatch: pytest.MonkeyPatch
) -> Path:
    """Return the program's directory with a project of two images, each with something newer."""
    for name, value in nix_store.environment.items():
        monkeypatch.setenv(name, value)
    make_flake(tmp_path / "flake", tmp_path / "dependency", nix_store)
    change_dependency(tmp_path / "dependency", 2)
    place = tmp_path / "project"
    (place / "imagekit.toml").write_text(
        '[images.pihole]\nkind = "sd-image"\nbuilder = "nix"\nnix = { flake = "../flake" }\n\n'
        '[images.web]\nbuilder = "packer"\n[images.web.packer]\nsource = "qemu"\n'
        f'iso = {{ url = "{web.url}/a.iso", sha256 = "{"0" * 64}" }}\n'
    )
    return place


def test_look_and_then_move(program: Program, project: Path) -> None:
    """A dry run shows what is newer and leaves it; a run moves it and shows the same; a second one has nothing."""
    before = (project / "imagekit.toml").read_bytes()
    looked = program("update", "--dry-run")
    assert (project / "imagekit.toml").read_bytes() == before
    header, *rows = looked.output.splitlines()
    assert header.split() == ["SOURCE", "BEFORE", "AFTER", "FILE"]
    assert [row.split()[:2] for row in rows] == [["input", "dependency"], ["iso", "of"]]
    assert rows[1].split()[3:5] == ["0" * 19, "1" * 19]
    assert "nothing was changed" in looked.errors
    moved = program("update")
    assert moved.output == looked.output
    assert "nothing was changed" not in moved.errors
    assert "1" * 64 in (project / "imagekit.toml").read_text()
    again = program("update")
    assert again.output == ""
    assert "everything is at its newest version already\n" in again.errors


def test_document(program: Program, project: Path) -> None:
    """``--json`` tells each file, whether it was written, and what moved in it."""
    told = program("update", "web", "--json").json()
    (file,) = told["files"]
    assert file["path"] == str(project / "imagekit.toml")
    assert file["written"] is True
    assert file["changes"] == [{"name": "iso of web", "before": "0" * 19, "after": "1" * 19, "note": None}]
    assert (told["dry_run"], told["sources"], told["problems"]) == (False, 1, [])
    (file,) = program("update", "--dry-run", "--json").json()["files"]
    assert file["written"] is False


def test_problem_of_one_source(program: Program, project: Path, web: WebServer) -> None:
    """A source that cannot be looked up is told with a hint, the other one is moved, the exit code is the problem's."""
    web.pages["/SHA256SUMS"] = Reply(status=429)
    said = program("update", status=8)
    assert "input dependency" in said.output
    assert "error: " in said.errors
    assert "answered with status 429" in said.errors
    told = program("update", "--json", status=8).json()
    assert told["problems"][0]["exit_code"] == 8
    (project.parent / "dependency" / "flake.nix").unlink()
    assert "cannot look for newer inputs" in program("update", "pihole", status=4).errors


def test_nothing_that_could_move(program: Program) -> None:
    """Where nothing is locked that is said; an image that is not defined is refused."""
    Path("imagekit.toml").write_text("[images.template]\n")
    said = program("update", "template")
    assert (said.output, said.errors) == ("", "nothing is locked here that could be moved\n")
    assert program("update", "template", "--json").json()["files"] == []
    program("update", "nobody", status=3)


def test_no_project(program: Program) -> None:
    """Without an imagekit.toml there is nowhere to keep locks, and the hint says how to begin."""
    said = program("update", "pihole", status=3)
    assert said.output == ""
    assert "write one with: imagekit init" in said.errors
