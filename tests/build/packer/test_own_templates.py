"""Our own Packer templates: found in a checkout and in a wheel, and readable by Packer."""

import os
import re
import shutil
import sys
import zipfile
from pathlib import Path

import pytest

from imagekit.build.packer.own_templates import find_own_template
from imagekit.errors import ToolMissing
from imagekit.host import Completed, run
from tests.packer_tools import find_packer_tools

_ROOT = Path(__file__).parents[3]
_NAMES = ("proxmox", "qemu")


def run_packer(*arguments: str, plugins: str = "/nonexistent") -> Completed:
    """Run the pinned Packer with its hands off this machine's configuration; no status is an error here."""
    environment = {"CHECKPOINT_DISABLE": "1", "PACKER_PLUGIN_PATH": plugins, "PACKER_NO_COLOR": "1"}
    return run([os.fspath(find_packer_tools().packer), *arguments], environment=environment, check=False)


def list_installed(plugins: Path) -> set[str]:
    """Return name, version and protocol of each plugin that Packer itself finds in a directory."""
    listed = run_packer("plugins", "installed", plugins=os.fspath(plugins)).output.decode()
    return set(re.findall(r"packer-plugin-(\w+_v\S+_x[\d.]+)_linux_\w+$", listed, re.MULTILINE))


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a wheel built without network from a copy of the sources in which somebody has been running Packer."""
    directory = tmp_path_factory.mktemp("wheel")
    sources = directory / "sources"
    left_out = shutil.ignore_patterns("__pycache__")
    for name in ("imagekit", "packer"):
        shutil.copytree(_ROOT / name, sources / name, ignore=left_out)
    for name in ("LICENSE", "README.md", "pyproject.toml", "setup.py"):
        shutil.copy(_ROOT / name, sources)
    for stray in ("qemu/mine.auto.pkrvars.hcl", "qemu/output/disk.qcow2", "qemu/packer_cache/x", "proxmox/values.json"):
        (sources / "packer" / stray).parent.mkdir(exist_ok=True)
        (sources / "packer" / stray).write_text("not for anybody else")
    options = ["--quiet", "--no-index", "--no-deps", "--no-build-isolation", "--wheel-dir", os.fspath(directory)]
    run([sys.executable, "-m", "pip", "wheel", *options, os.fspath(sources)])
    (made,) = directory.glob("*.whl")
    return made


def test_checkout_uses_its_own_directory() -> None:
    """imagekit that runs from a checkout takes the templates that its user reads and edits."""
    assert find_own_template("qemu") == _ROOT / "packer" / "qemu"


def test_missing_template_is_told() -> None:
    """A damaged installation is an error with a place and a way out, not a traceback."""
    with pytest.raises(ToolMissing, match="no Packer template 'vmware'") as caught:
        find_own_template("vmware")
    assert "install imagekit again" in str(caught.value.hint)


def test_wheel_has_the_templates_and_nothing_else(wheel: Path) -> None:
    """Every template and script is in the wheel; pinned tools and what a run of Packer left are not."""
    place = "imagekit/build/packer/packaged/"
    with zipfile.ZipFile(wheel) as opened:
        packed = {name.removeprefix(place): opened.read(name) for name in opened.namelist() if name.startswith(place)}
        assert not any(name.startswith("packer/") for name in opened.namelist())
    expected = [*(_ROOT / "packer").rglob("*.pkr.hcl"), *(_ROOT / "packer").rglob("*.sh")]
    assert packed == {path.relative_to(_ROOT / "packer").as_posix(): path.read_bytes() for path in expected}
    for name in _NAMES:
        assert any(path.startswith(f"{name}/") for path in packed)


def test_files_that_templates_name_are_in_the_wheel(wheel: Path) -> None:
    """What a template finds by its own place (``path.root``) lies at that place in the wheel too."""
    place = "imagekit/build/packer/packaged"
    with zipfile.ZipFile(wheel) as opened:
        packed = set(opened.namelist())
        templates = [name for name in packed if name.startswith(f"{place}/") and name.endswith(".pkr.hcl")]
        named = {
            os.path.normpath(f"{Path(template).parent}/{path}")
            for template in templates
            for path in re.findall(r"\$\{path\.root\}/([^\"$]+)\"", opened.read(template).decode())
        }
    assert f"{place}/provision/finish.sh" in named
    assert named - packed == set()


def test_installed_imagekit_finds_its_copy(wheel: Path, tmp_path: Path) -> None:
    """Unpacked as pip unpacks it, beside a stranger's package named packer, imagekit finds the wheel's templates."""
    with zipfile.ZipFile(wheel) as opened:
        opened.extractall(tmp_path)
    (tmp_path / "packer" / "qemu").mkdir(parents=True)
    (tmp_path / "packer" / "qemu" / "x.pkr.hcl").write_text("")
    ask = "from imagekit.build.packer.own_templates import find_own_template as find; print(find('qemu'))"
    environment = {"PYTHONPATH": os.fspath(tmp_path), "PYTHONDONTWRITEBYTECODE": "1"}
    found = run([sys.executable, "-c", ask], environment=environment, directory=tmp_path).output.decode().strip()
    assert Path(found) == tmp_path / "imagekit/build/packer/packaged/qemu"


def test_templates_are_in_the_one_format(tmp_path: Path) -> None:
    """``packer fmt`` has nothing to change in any of our templates; an unformatted one it would name."""
    seen = run_packer("fmt", "-check", "-recursive", os.fspath(_ROOT / "packer"))
    assert (seen.status, seen.output) == (0, b"")
    (tmp_path / "x.pkr.hcl").write_text("locals {\n      a=1\n}\n")
    assert run_packer("fmt", "-check", "-recursive", os.fspath(tmp_path)).status == 3


@pytest.mark.parametrize("name", _NAMES)
def test_templates_are_read_by_packer(name: str, tmp_path: Path) -> None:
    """Packer reads each template without any plugin; one brace less and it does not."""
    seen = run_packer("validate", "-syntax-only", os.fspath(find_own_template(name)))
    assert seen.status == 0, seen.output.decode()
    broken = shutil.copytree(find_own_template(name), tmp_path / name)
    first = min(broken.glob("*.pkr.hcl"))
    first.write_text(first.read_text().rstrip().removesuffix("}"))
    assert run_packer("validate", "-syntax-only", os.fspath(broken)).status == 1


def test_pinned_tools_are_the_versions_that_are_named() -> None:
    """Users get qemu and ansible, tests also the old Proxmox plugin; each is a release, and Packer sees it."""
    tools = find_packer_tools()
    assert run_packer("version").output.startswith(b"Packer v1.16.0")
    for_users = {"ansible_v1.0.3_x5.0", "qemu_v1.0.9_x5.0"}
    for_tests = {"proxmox_v1.1.1_x5.0"}
    listed = list_installed(tools.plugins)  # with what the user of this machine may have added
    assert listed >= for_users
    assert not listed & for_tests
    assert list_installed(tools.plugins_test) == for_users | for_tests
