"""The local builder's own decisions; whole disks are built by the integration tests."""

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from imagekit.build import local
from imagekit.build.apt import AptRoom, PlannedPackage, Supplies
from imagekit.build.apt_sources import AptSource
from imagekit.build.layout import plan_layout
from imagekit.build.local import build_local, complete_sources, grub_menu, plan_root, require_tools, write_disk
from imagekit.build.mmdebstrap import RootPlan
from imagekit.definition.model import Feature, ImageDefinition, Promtail, Release
from imagekit.disk.containers.raw import open_raw
from imagekit.disk.digest import compute_digest
from imagekit.disk.ext4.filesystem import open_ext4
from imagekit.disk.fat.filesystem import open_fat
from imagekit.disk.partitions.gpt import read_gpt
from imagekit.disk.tree import FileTree
from imagekit.errors import DefinitionInvalid, ToolFailed, ToolMissing
from imagekit.image import Architecture, Firmware
from imagekit.progress import silent
from tests.build.conftest import EPOCH, make_package


def make_plan(*names: str) -> RootPlan:
    """Return a plan of package files with these names."""
    files = tuple(PlannedPackage(name, 1, "0" * 64) for name in names)
    return RootPlan("bookworm", "amd64", 1_686_355_200, (), files, (), files)


def make_root(directory: Path) -> Path:
    """Return a tree with the loaders where Debian's packages have them."""
    root = directory / "root"
    for name, content in (
        ("usr/lib/shim/shimx64.efi.signed", b"MZ shim"),
        ("usr/lib/grub/x86_64-efi-signed/grubx64.efi.signed", b"MZ grub"),
    ):
        (root / name).parent.mkdir(parents=True)
        (root / name).write_bytes(content)
        os.utime(root / name, (EPOCH - 50, EPOCH - 50))
    return root


def test_disk_holds_table_esp_and_root(definition: ImageDefinition, tmp_path: Path) -> None:
    """One file has a sound table, the loaders where the firmware looks, and the tree, whose files keep their times."""
    layout = plan_layout(definition)
    disk = tmp_path / "disk.raw"
    root = make_root(tmp_path)
    write_disk(disk, layout, root, Architecture.AMD64, "mke2fs", EPOCH, silent)
    assert disk.stat().st_size == layout.size
    assert disk.stat().st_blocks * 512 < layout.size // 2  # sparse
    with open_raw(disk) as raw:
        table = read_gpt(raw)
        assert table.problems == ()
        esp, partition = table.partitions
        boot = FileTree(open_fat(raw.window(esp.offset, esp.length)), ignore_case=True)
        assert boot.read("/EFI/BOOT/BOOTX64.EFI") == b"MZ shim"
        assert boot.read("/EFI/BOOT/grubx64.efi") == b"MZ grub"
        stub = boot.read("/EFI/debian/grub.cfg") or b""
        assert f"search.fs_uuid {layout.root_uuid} root".encode() in stub
        filesystem = open_ext4(raw.window(partition.offset, partition.length))
        node = FileTree(filesystem).stat("/usr/lib/shim/shimx64.efi.signed")
        assert node is not None
        assert node.mtime == EPOCH - 50
    assert int((root / "usr/lib/shim/shimx64.efi.signed").stat().st_mtime) == EPOCH - 50


def test_first_menu_boots_the_kernel_of_the_plan(definition: ImageDefinition) -> None:
    """The menu names the kernel's files and the root's UUID; the newest kernel wins, by number."""
    layout = plan_layout(definition)
    plan = make_plan(
        "linux-image-6.1.0-9-cloud-amd64_6.1.27-1_amd64.deb",
        "linux-image-6.1.0-56-amd64_6.1.192-2_amd64.deb",
        "linux-image-6.1.0-56-cloud-amd64_6.1.192-2_amd64.deb",
        "linux-image-cloud-amd64_6.1.192-2_amd64.deb",
    )
    text = grub_menu(layout, plan).data.decode()
    assert f"linux /boot/vmlinuz-6.1.0-56-cloud-amd64 root=UUID={layout.root_uuid} ro console=tty0" in text
    assert "initrd /boot/initrd.img-6.1.0-56-cloud-amd64" in text
    assert "6.1.0-9-" not in text


def test_image_without_kernel_is_refused(definition: ImageDefinition) -> None:
    """A plan without a kernel would give a disk that cannot start."""
    with pytest.raises(ToolFailed, match="no kernel"):
        grub_menu(plan_layout(definition), make_plan("bash_5.2_amd64.deb"))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda one: replace(one, architecture=Architecture.ARM64), "cannot make an image for arm64"),
        (lambda one: replace(one, firmware=Firmware.SEABIOS), "through UEFI, not seabios"),
    ],
)
def test_impossible_definitions_are_refused_first(
    definition: ImageDefinition,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    change: Callable[[ImageDefinition], ImageDefinition],
    message: str,
) -> None:
    """A foreign architecture and a BIOS disk are refused before anything is fetched."""
    monkeypatch.setattr(local, "_gather", lambda *_: pytest.fail("something was fetched"))
    monkeypatch.setattr(local, "_read_native", lambda: "amd64")
    with pytest.raises(DefinitionInvalid, match=message):
        build_local(change(definition), tmp_path / "work", tmp_path / "cache")


def test_missing_tool_is_named_before_the_build() -> None:
    """A program that is not there is named at once, with its package."""
    with pytest.raises(ToolMissing, match="no-such-mke2fs is not installed"):
        require_tools("no-such-mke2fs")


def test_clock_is_the_newest_packages(tmp_path: Path) -> None:
    """The disk's clock is when its newest package was built, the operator's own included, and never before release."""
    packages, debs = tmp_path / "packages", tmp_path / "debs"
    packages.mkdir()
    debs.mkdir()
    supplies = Supplies(packages, tmp_path, tmp_path)
    old = make_package(packages, "old", epoch=1_000_000_000)
    assert local._find_newest(make_plan(old.name), supplies, debs) == 1_686_355_200
    new = make_package(packages, "new", epoch=EPOCH)
    assert local._find_newest(make_plan(old.name, new.name), supplies, debs) == EPOCH
    make_package(tmp_path, "own", epoch=EPOCH + 1).rename(debs / "own.deb")
    assert local._find_newest(make_plan(old.name, new.name), supplies, debs) == EPOCH + 1


def test_operators_package_is_copied(definition: ImageDefinition, tmp_path: Path) -> None:
    """A package file with a name that no shell likes arrives under a plain one; a missing one is named."""
    own = make_package(tmp_path, "promtail").rename(tmp_path / "prom tail; x.deb")
    given = replace(definition, features=(Feature.PROMTAIL,), promtail=Promtail("http://l/", own))
    (tmp_path / "a").mkdir()
    (copied,) = local._bring_packages(given, tmp_path / "a").iterdir()
    assert (copied.name, copied.read_bytes()) == ("promtail.deb", own.read_bytes())
    own.unlink()
    (tmp_path / "b").mkdir()
    with pytest.raises(DefinitionInvalid, match="cannot be read: No such file"):
        local._bring_packages(given, tmp_path / "b")


def test_plan_has_base_features_and_packages_once(
    definition: ImageDefinition, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """apt is asked for the base alone, whose files name the cached root, and for everything together."""
    asked: list[tuple[str, ...]] = []

    def plan(_room: AptRoom, names: tuple[str, ...]) -> tuple[PlannedPackage, ...]:
        asked.append(tuple(names))
        return tuple(PlannedPackage(f"{name}_1_all.deb", 1, "0" * 64) for name in names)

    monkeypatch.setattr(local, "update_lists", lambda room: None)
    monkeypatch.setattr(local, "plan_packages", plan)
    wanted = replace(definition, features=(Feature.DOCKER,), packages=("htop", "docker.io"))
    made, room = plan_root(wanted, tmp_path)
    assert made.extra == ("docker.io", "htop")
    assert asked == [made.base, (*made.base, "docker.io", "htop")]
    assert room.sources[0].suite == "bookworm"
    assert len(made.all_files) == len(made.base_files) + 2


def test_provenance_says_when_the_disk_cannot_be_made_again(
    definition: ImageDefinition, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With an old mke2fs the record says so, why, and what to do; with a new one it says nothing."""
    plan = make_plan("tool_1%3a2_all.deb")
    monkeypatch.setattr(local, "read_version", lambda _: "1.47.0")
    monkeypatch.setattr(local, "is_reproducible", lambda _: False)
    record = local._record(definition, plan, (), "mke2fs", None)
    assert (record.reproducible, record.git_commit) == (False, None)
    assert "mke2fs 1.47.0 writes the time of the build into every inode" in record.reproducible_note
    assert record.inputs["package:tool"] == f"sha256:{'0' * 64}"
    assert record.tools["mke2fs"] == "1.47.0"
    monkeypatch.setattr(local, "is_reproducible", lambda _: True)
    again = local._record(definition, plan, (), "mke2fs", None)
    assert (again.reproducible, again.reproducible_note) == (True, "")


def test_same_tree_gives_the_same_bytes(definition: ImageDefinition, tmp_path: Path) -> None:
    """Apart from the root's inode times, which old versions of mke2fs take from the clock, two writes are alike."""
    layout = plan_layout(definition)
    digests = set()
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        disk = tmp_path / name / "disk.raw"
        write_disk(disk, layout, make_root(tmp_path / name), Architecture.AMD64, "mke2fs", EPOCH, silent)
        with disk.open("r+b") as file:
            file.seek(layout.root_offset)
            file.write(bytes(layout.root_size))
        digests.add(str(compute_digest(disk)))
    assert len(digests) == 1


def test_security_suite_is_never_missing() -> None:
    """A machine whose sources name no security suite gets the distribution's own, and keeps its mirror for the rest."""
    mirror = AptSource("http://mirror.example/debian", "bookworm", ("main",))
    completed = complete_sources((mirror,), Release.BOOKWORM)
    assert completed[0] == mirror
    assert [source.suite for source in completed[1:]] == ["bookworm-security"]


def test_named_security_suite_is_kept() -> None:
    """A machine that names its own security mirror is not given another one."""
    mirror = AptSource("http://mirror.example/debian", "bookworm", ("main",))
    security = AptSource("http://mirror.example/security", "bookworm-security", ("main",))
    assert complete_sources((mirror, security), Release.BOOKWORM) == (mirror, security)
