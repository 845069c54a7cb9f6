"""What a wheel takes along of the flake: all of it, nothing that lies beside it, and imagekit finds it there."""

import os
import re
import shutil
import sys
import zipfile
from pathlib import Path

import pytest

from imagekit.build.vagrant.own_project import PARTS
from imagekit.host import run
from tests.nix.conftest import ROOT

_PLACE = "imagekit/build/nix/packaged/"
_STRAYS = ("nix/site.json", "nix/pihole/values.json", "nix/x.nix.bak", "vagrant/.vagrant/id", "nix/base/result.img")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a wheel built without network from a copy of the sources in which somebody has been building."""
    directory = tmp_path_factory.mktemp("wheel")
    sources = directory / "sources"
    for name in ("imagekit", "nix", "packer", "vagrant"):
        shutil.copytree(ROOT / name, sources / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("LICENSE", "README.md", "flake.lock", "flake.nix", "pyproject.toml", "setup.py"):
        shutil.copy(ROOT / name, sources)
    for stray in _STRAYS:
        (sources / stray).parent.mkdir(exist_ok=True)
        (sources / stray).write_text("not for anybody else")
    options = ["--quiet", "--no-index", "--no-deps", "--no-build-isolation", "--wheel-dir", os.fspath(directory)]
    run([sys.executable, "-m", "pip", "wheel", *options, os.fspath(sources)])
    (made,) = directory.glob("*.whl")
    return made


def test_wheel_has_the_flake_and_nothing_else(wheel: Path) -> None:
    """Every file of the flake is in it, byte for byte; a site's values, results and other strays are not."""
    with zipfile.ZipFile(wheel) as opened:
        packed = {n.removeprefix(_PLACE): opened.read(n) for n in opened.namelist() if n.startswith(_PLACE)}
        assert not any(name.startswith(("nix/", "flake", "vagrant/")) for name in opened.namelist())
    expected = [
        ROOT / "flake.nix",
        ROOT / "flake.lock",
        ROOT / "nix/pihole/images.json",
        *(ROOT / "nix").rglob("*.nix"),
    ]
    assert packed == {path.relative_to(ROOT).as_posix(): path.read_bytes() for path in expected}


def test_wheel_has_the_build_vm(wheel: Path) -> None:
    """The Vagrant project's parts are in it, and no state of a VM."""
    place = "imagekit/build/vagrant/packaged/"
    with zipfile.ZipFile(wheel) as opened:
        packed = {name.removeprefix(place) for name in opened.namelist() if name.startswith(place)}
    assert packed == set(PARTS)


def test_files_that_modules_name_are_in_the_wheel(wheel: Path) -> None:
    """What a Nix file of the image imports or reads beside it lies at that place in the wheel too."""
    with zipfile.ZipFile(wheel) as opened:
        packed = {name.removeprefix(_PLACE) for name in opened.namelist() if name.startswith(_PLACE)}
    for name in sorted(packed):
        if not name.endswith(".nix") or name.startswith(("nix/cli/", "nix/checks/")):
            continue
        for named in re.findall(r"(?<![\w/.\"])(\.{1,2}/[\w./-]+)", (ROOT / name).read_text()):
            path = os.path.normpath(f"{Path(name).parent}/{named}")
            assert {path, f"{path}/default.nix"} & packed or path == "nix/site.json", (name, named)


def test_installed_imagekit_finds_its_copy(wheel: Path, tmp_path: Path) -> None:
    """Unpacked as pip unpacks it, beside a stranger's directory named nix, imagekit finds the wheel's flake."""
    with zipfile.ZipFile(wheel) as opened:
        opened.extractall(tmp_path)
    (tmp_path / "nix").mkdir()
    (tmp_path / "flake.nix").write_text("{ }")
    ask = (
        "from imagekit.build.nix import stage; from types import SimpleNamespace as S;"
        "print(stage.find_flake(S(nix=S(flake=None))))"
    )
    environment = {"PYTHONPATH": os.fspath(tmp_path), "PYTHONDONTWRITEBYTECODE": "1"}
    found = run([sys.executable, "-c", ask], environment=environment, directory=tmp_path).output.decode().strip()
    assert Path(found) == tmp_path / _PLACE
