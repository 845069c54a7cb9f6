"""The copy of a flake that is built: what belongs to it and nothing else."""

import json
import os
from pathlib import Path

import pytest

from imagekit.build.nix.stage import LOCKS, digest_flake, find_flake, find_locks, stage_flake
from imagekit.definition import ImageDefinition, NixBuild, Site, make_sd_image
from imagekit.errors import DefinitionInvalid
from imagekit.host import run
from tests.definition.samples import KEY


def _make_flake(directory: Path) -> Path:
    (directory / "nix").mkdir(parents=True)
    (directory / "flake.nix").write_text("{ }\n")
    (directory / "nix" / "a.nix").write_text("1\n")
    (directory / "run.sh").write_text("#!/bin/sh\n")
    (directory / "run.sh").chmod(0o755)
    return directory


def _define(flake: Path | None, site: Site | None = None) -> ImageDefinition:
    return make_sd_image("pihole", nix=NixBuild(flake=flake), site=site)


def _list(directory: Path) -> list[str]:
    return sorted(str(path.relative_to(directory)) for path in directory.rglob("*") if not path.is_dir())


def test_sources_alone_are_copied(tmp_path: Path) -> None:
    """Old images, results, other tools' directories and the definition stay where they are."""
    flake = _make_flake(tmp_path / "flake")
    for name in (
        "old.img",
        "old.img.zst",
        "vm.qcow2",
        ".direnv/x",
        ".vagrant/y",
        "imagekit.toml",
        f"{LOCKS}/flake.lock",
    ):
        (flake / name).parent.mkdir(exist_ok=True)
        (flake / name).write_text("x")
    (flake / "result").symlink_to("/nix/store/x")
    (flake / "link.nix").symlink_to("nix/a.nix")
    staged = stage_flake(_define(flake), None, tmp_path / "staged")
    assert _list(staged.directory) == ["flake.nix", "link.nix", "nix/a.nix", "run.sh"]
    assert os.access(staged.directory / "run.sh", os.X_OK)
    assert (staged.directory / "link.nix").readlink() == Path("nix/a.nix")


def test_git_says_what_belongs_to_a_work_tree(tmp_path: Path) -> None:
    """New files belong to it and ignored ones do not, also in a work tree that is somebody else's."""
    flake = _make_flake(tmp_path / "flake")
    run(["git", "init", "--quiet", os.fspath(flake)])
    run(["git", "-C", os.fspath(flake), "add", "flake.nix", "run.sh"])
    (flake / ".gitignore").write_text("secret.nix\n")
    (flake / "secret.nix").write_text("x")
    (flake / "run.sh").unlink()
    if os.geteuid() == 0:
        for path in (flake, *flake.rglob("*")):
            os.chown(path, 65534, 65534, follow_symlinks=False)
    staged = stage_flake(_define(flake), None, tmp_path / "staged")
    assert _list(staged.directory) == [".gitignore", "flake.nix", "nix/a.nix"]


def test_site_is_written_into_the_copy(tmp_path: Path) -> None:
    """The flake gets the site as JSON, in the copy alone, and another site is another digest."""
    flake = _make_flake(tmp_path / "flake")
    (flake / "nix" / "site.json").write_text("{}")  # left there by hand: it is not this image's
    first = stage_flake(_define(flake, Site(ssh_keys=(KEY,))), None, tmp_path / "one")
    assert json.loads((first.directory / "nix" / "site.json").read_text())["authorizedKeys"] == [KEY]
    assert (flake / "nix" / "site.json").read_text() == "{}"
    second = stage_flake(_define(flake, Site(host_name="two", ssh_keys=(KEY,))), None, tmp_path / "two")
    third = stage_flake(_define(flake), None, tmp_path / "three")
    assert "nix/site.json" not in _list(third.directory)
    assert len({first.digest, second.digest, third.digest}) == 3
    again = stage_flake(_define(flake, Site(ssh_keys=(KEY,))), None, tmp_path / "again")
    assert again.digest == first.digest


def test_own_flake_is_found_and_has_nothing_of_the_program(tmp_path: Path) -> None:
    """imagekit's own flake is staged without the Python source, so that a change there rebuilds no image."""
    staged = stage_flake(_define(None, Site(ssh_keys=(KEY,))), None, tmp_path / "staged")
    names = _list(staged.directory)
    assert {"flake.nix", "flake.lock", "nix/site.json"} <= set(names)
    assert {name.split("/")[0] for name in names} == {"flake.nix", "flake.lock", "nix"}
    assert (find_flake(_define(None)) / "flake.nix").is_file()


def test_locks_of_the_project_stand_instead_of_ours(tmp_path: Path) -> None:
    """What imagekit update wrote beside imagekit.toml pins our flake; a flake of one's own has its lock itself."""
    project = tmp_path / "imagekit.toml"
    locks = find_locks(tmp_path)
    locks.mkdir()
    (locks / "flake.lock").write_text('{"nodes": {}}')
    (locks / "images.json").write_text('{"pihole": {"tag": "own"}}')
    staged = stage_flake(_define(None, Site(ssh_keys=(KEY,))), project, tmp_path / "staged")
    assert (staged.directory / "flake.lock").read_text() == '{"nodes": {}}'
    pins = json.loads((staged.directory / "nix" / "pihole" / "images.json").read_text())
    assert pins["pihole"] == {"tag": "own"}
    assert set(pins) > {"pihole"}  # what the project does not pin is pinned by us
    own = stage_flake(_define(_make_flake(tmp_path / "flake")), project, tmp_path / "own")
    assert "flake.lock" not in _list(own.directory)


@pytest.mark.parametrize("text", ["", "[1]", "null", "{"])
def test_broken_pins_are_told(tmp_path: Path, text: str) -> None:
    """A file of pins that is none is named, with how to get a right one."""
    find_locks(tmp_path).mkdir()
    (find_locks(tmp_path) / "images.json").write_text(text)
    with pytest.raises(DefinitionInvalid, match="does not pin containers"):
        stage_flake(_define(None, Site(ssh_keys=(KEY,))), tmp_path / "imagekit.toml", tmp_path / "staged")


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda flake: (flake / "away").symlink_to("/etc/passwd"), "leads out of the flake"),
        (lambda flake: (flake / "away").symlink_to("../../x"), "leads out of the flake"),
        (lambda flake: os.mkfifo(flake / "pipe"), "is no file"),
        (lambda flake: os.truncate(flake / "flake.nix", 33 << 20), "is no source of a flake"),
    ],
)
def test_what_cannot_be_in_a_flake_is_named(tmp_path: Path, make: object, sentence: str) -> None:
    """A link that leads out, a pipe and a file of many megabytes are refused by name."""
    flake = _make_flake(tmp_path / "flake")
    assert callable(make)
    make(flake)
    with pytest.raises(DefinitionInvalid, match=sentence):
        stage_flake(_define(flake), None, tmp_path / "staged")


def test_digest_tells_names_modes_and_bytes(tmp_path: Path) -> None:
    """A renamed file, a changed one and one that became a program are each another flake."""
    flake = _make_flake(tmp_path / "flake")
    seen = {digest_flake(flake)}
    (flake / "run.sh").chmod(0o644)
    seen.add(digest_flake(flake))
    (flake / "run.sh").rename(flake / "go.sh")
    seen.add(digest_flake(flake))
    (flake / "go.sh").write_text("#!/bin/sh\n#")
    seen.add(digest_flake(flake))
    os.utime(flake / "go.sh", (0, 0))
    seen.add(digest_flake(flake))
    assert len(seen) == 4
