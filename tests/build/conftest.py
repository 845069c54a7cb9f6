"""A tiny Debian repository and a tiny root, made once by the programs that make the real ones."""

import hashlib
import os
from pathlib import Path

import pytest

from imagekit.build.apt import AptRoom, open_room
from imagekit.build.apt_sources import AptSource
from imagekit.definition.model import MIB, ImageDefinition
from imagekit.host import run

EPOCH = 1_700_000_000


def make_package(directory: Path, name: str, depends: str = "", epoch: int = EPOCH) -> Path:
    """Build a package with one file and return its path."""
    tree = directory / f"{name}-tree"
    (tree / "DEBIAN").mkdir(parents=True)
    (tree / "usr/share").mkdir(parents=True)
    (tree / f"usr/share/{name}").write_text(f"{name}\n")
    needs = f"Depends: {depends}\n" if depends else ""
    (tree / "DEBIAN/control").write_text(
        f"Package: {name}\nVersion: 1:2.0-1\nArchitecture: all\nMaintainer: Test <test@example.org>\n{needs}"
        f"Description: {name}\n"
    )
    file = directory / f"{name}_2.0-1_all.deb"
    run(
        ["dpkg-deb", "-Znone", "--root-owner-group", "--build", os.fspath(tree), os.fspath(file)],
        environment={"SOURCE_DATE_EPOCH": str(epoch)},
    )
    return file


@pytest.fixture(scope="session")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the directory of a flat repository with the packages ``tool`` and ``library``, which ``tool`` needs."""
    directory = tmp_path_factory.mktemp("repository")
    stanzas = []
    for name, depends in (("library", ""), ("tool", "library")):
        file = make_package(directory, name, depends)
        control = run(["dpkg-deb", "--field", os.fspath(file)]).output.decode().strip()
        digest = hashlib.sha256(file.read_bytes()).hexdigest()
        stanzas.append(f"{control}\nFilename: ./{file.name}\nSize: {file.stat().st_size}\nSHA256: {digest}\n")
    index = "\n".join(stanzas)
    (directory / "Packages").write_text(index)
    digest = hashlib.sha256(index.encode()).hexdigest()
    (directory / "Release").write_text(
        f"Date: Tue, 14 Nov 2023 22:13:20 UTC\nSuite: test\nSHA256:\n {digest} {len(index)} Packages\n"
    )
    return directory


@pytest.fixture
def room(repository: Path, tmp_path: Path) -> AptRoom:
    """Return a room over the tiny repository; what is unsigned has to be trusted by hand."""
    opened = open_room(tmp_path / "cache", "test", "amd64", (AptSource(f"copy:{repository}", "./", ()),))
    opened.sources_list.write_text(f"deb [trusted=yes] copy:{repository} ./\n")
    return opened


@pytest.fixture
def definition() -> ImageDefinition:
    """Return a definition whose disk is as small as a FAT32 ESP and a root allow."""
    return ImageDefinition(name="tiny", size=160 * MIB, esp=40 * MIB)
