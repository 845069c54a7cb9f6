"""What Packer left, taken: one disk among its files, raw in the end, and nothing that leads out of it."""

import hashlib
import os
import struct
from pathlib import Path

import pytest

from imagekit.build.packer.machine_readable import Artifact
from imagekit.build.packer.result import describe_disk, discard_rest, find_disk, read_disk_packages, take_disk
from imagekit.definition.model import ImageDefinition
from imagekit.disk.containers.raw import NotADisk
from imagekit.errors import ImageDamaged, ImageNamesHostFile, ToolFailed, VerificationFailed
from imagekit.host import run
from imagekit.progress import Event, silent

_QEMU = "transcend.qemu"
_CONTENT = b"\0" * 4096 + b"system" * 1024 + b"\0" * (1 << 20)


def make_artifact(*files: str | Path, builder: str = _QEMU) -> Artifact:
    """Return an artifact of ``files``."""
    return Artifact("qemu.template", builder, "VM", "VM files", tuple(map(str, files)))


def write_files(directory: Path, *names: str) -> list[Path]:
    """Write something into each of ``names``."""
    for name in names:
        (directory / name).parent.mkdir(exist_ok=True)
        (directory / name).write_bytes(b"x")
    return [directory / name for name in names]


def make_qcow2(path: Path, *options: str) -> Path:
    """Return a qcow2 image of the content."""
    raw = path.with_suffix(".content")
    raw.write_bytes(_CONTENT)
    run(["qemu-img", "convert", "-f", "raw", "-O", "qcow2", *options, os.fspath(raw), os.fspath(path)])
    return path


@pytest.mark.parametrize(
    "name", ["disk.raw", "disk.img", "disk.qcow2", "packer-template", "debian-12.5", "Disk.QCOW2", "debian-12.5.raw"]
)
def test_disk_is_found_beside_its_variables(name: str, tmp_path: Path) -> None:
    """The disk is found under the names that people give it; UEFI variables, digests and manifests are none."""
    files = write_files(tmp_path, f"out/{name}", "out/efivars.fd", "out/manifest.json", "out/disk.sha256")
    assert find_disk((make_artifact(*files),), tmp_path) == tmp_path / "out" / name


def test_names_are_seen_from_the_template(tmp_path: Path) -> None:
    """The qemu plugin names files from where Packer ran, which is not where imagekit was started."""
    write_files(tmp_path, "out/disk.raw")
    artifact = make_artifact("out/disk.raw", "out/efivars.fd")
    assert find_disk((artifact,), tmp_path) == tmp_path / "out/disk.raw"
    with pytest.raises(ToolFailed, match="left 0 disks"):
        find_disk((artifact,), tmp_path / "elsewhere")


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (["disk.raw", "disk-1.raw"], r"left 2 disks.*\(disk\.raw, disk-1\.raw\)"),
        (["manifest.json"], r"left 0 disks.*\(manifest\.json\)"),
        ([], r"left 0 disks.*\(no file\)"),
    ],
)
def test_image_is_one_disk(names: list[str], said: str, tmp_path: Path) -> None:
    """Several disks, none, and none among other files are refused with their names and a way out."""
    artifact = make_artifact(*write_files(tmp_path, *names))
    with pytest.raises(ToolFailed, match=said) as caught:
        find_disk((artifact,), tmp_path)
    assert "packer.only" in str(caught.value.hint)


def test_disk_that_is_told_twice_is_one(tmp_path: Path) -> None:
    """A post-processor that keeps its input tells of the same file again."""
    (disk,) = write_files(tmp_path, "disk.raw")
    assert find_disk((make_artifact("disk.raw"), make_artifact("disk.raw", builder="shell-local")), tmp_path) == disk


def test_disk_that_is_told_and_not_there_is_none(tmp_path: Path) -> None:
    """A file that Packer names and that a post-processor has removed is no disk; one of two builds may be left."""
    (kept,) = write_files(tmp_path, "kept.raw")
    assert find_disk((make_artifact(tmp_path / "gone.raw"), make_artifact(kept)), tmp_path) == kept


def test_raw_disk_is_moved(tmp_path: Path) -> None:
    """A raw disk is not copied: the file itself becomes the result."""
    found = tmp_path / "found.raw"
    found.write_bytes(_CONTENT)
    inode = found.stat().st_ino
    events: list[Event] = []
    take_disk(found, tmp_path / "disk.raw", events.append)
    assert (tmp_path / "disk.raw").stat().st_ino == inode
    assert not found.exists()
    assert events == []


@pytest.mark.parametrize("options", [(), ("-c",), ("-o", "compat=0.10")])
def test_qcow2_is_converted(options: tuple[str, ...], tmp_path: Path) -> None:
    """A qcow2 image becomes the raw disk that it holds, whatever its name says, and is gone."""
    found = make_qcow2(tmp_path / "found.raw", *options)
    events: list[Event] = []
    take_disk(found, tmp_path / "disk.raw", events.append)
    assert (tmp_path / "disk.raw").read_bytes() == _CONTENT
    assert not found.exists()
    assert [event.stage for event in events] == ["converting the disk"]


def test_backing_file_is_never_read(tmp_path: Path) -> None:
    """An image that names another file is refused before qemu-img could copy that file's bytes into a template."""
    secret = tmp_path / "host-file.raw"
    secret.write_bytes(b"canary" * 1000)
    found = tmp_path / "found.qcow2"
    run(["qemu-img", "create", "-q", "-f", "qcow2", "-F", "raw", "-b", os.fspath(secret), os.fspath(found)])
    with pytest.raises(ImageNamesHostFile, match="has a backing file"):
        take_disk(found, tmp_path / "disk.raw", silent)
    assert found.exists()
    assert not (tmp_path / "disk.raw").exists()


def test_data_file_is_never_read(tmp_path: Path) -> None:
    """An image whose content is in another file is refused in the same way."""
    found = tmp_path / "found.qcow2"
    place = f"data_file={tmp_path / 'data.raw'},data_file_raw=on"
    run(["qemu-img", "create", "-q", "-f", "qcow2", "-o", place, os.fspath(found), "1M"])
    with pytest.raises(ImageNamesHostFile, match="keeps its content in another file"):
        take_disk(found, tmp_path / "disk.raw", silent)
    assert not (tmp_path / "disk.raw").exists()


def test_damaged_qcow2_is_told(tmp_path: Path) -> None:
    """A header that contradicts the file is damage, not a failed tool."""
    found = make_qcow2(tmp_path / "found.qcow2")
    with found.open("r+b") as file:
        file.seek(40)  # the offset of the first table (qcow2.txt, "l1_table_offset")
        file.write(struct.pack(">Q", 1 << 40))
    with pytest.raises(ImageDamaged):
        take_disk(found, tmp_path / "disk.raw", silent)


@pytest.mark.parametrize(
    ("start", "said"), [(b"KDMV", "VMDK"), (b"vhdxfile", "VHDX"), (b"\x1f\x8b", "gzip"), (b"QED\0", "QED")]
)
def test_other_containers_are_refused(start: bytes, said: str, tmp_path: Path) -> None:
    """What is kept in another way is never taken for a disk's bytes; the hint says what to write in the template."""
    found = tmp_path / "disk.raw"
    found.write_bytes(start + _CONTENT)
    with pytest.raises(NotADisk, match=f"a disk kept as {said}") as caught:
        take_disk(found, tmp_path / "taken.raw", silent)
    assert 'format = "raw"' in str(caught.value.hint)
    assert not (tmp_path / "taken.raw").exists()


def test_link_is_not_followed(tmp_path: Path) -> None:
    """A link in the disk's place would move somebody else's file away."""
    (target,) = write_files(tmp_path, "golden.raw")
    (tmp_path / "found.raw").symlink_to(target)
    with pytest.raises(NotADisk, match="is a link"):
        take_disk(tmp_path / "found.raw", tmp_path / "disk.raw", silent)
    assert target.exists()


@pytest.mark.parametrize("name", ["empty", "directory", "gone"])
def test_no_disk_is_told(name: str, tmp_path: Path) -> None:
    """An empty file, a directory and nothing at all are told with their name."""
    (tmp_path / "empty").touch()
    (tmp_path / "directory").mkdir()
    with pytest.raises(NotADisk, match=name):
        take_disk(tmp_path / name, tmp_path / "disk.raw", silent)


def test_other_file_system_is_copied_with_its_holes(tmp_path: Path) -> None:
    """A raw disk on another file system (memory) becomes the same bytes here."""
    elsewhere = Path("/dev/shm") / f"imagekit-{os.getpid()}.raw"
    try:
        elsewhere.write_bytes(_CONTENT)
        take_disk(elsewhere, tmp_path / "disk.raw", silent)
        assert (tmp_path / "disk.raw").read_bytes() == _CONTENT
        assert not elsewhere.exists()
    finally:
        elsewhere.unlink(missing_ok=True)


def test_output_directory_goes_with_the_disk(tmp_path: Path) -> None:
    """What the qemu source left beside the disk is removed with its directory, or the next build would be refused."""
    write_files(tmp_path, "out/disk.raw", "out/efivars.fd")
    artifact = make_artifact("out/disk.raw", "out/efivars.fd")
    take_disk(find_disk((artifact,), tmp_path), tmp_path / "taken.raw", silent)
    discard_rest((artifact,), tmp_path)
    assert not (tmp_path / "out").exists()


def test_files_of_others_stay(tmp_path: Path) -> None:
    """Neither a file that somebody else put beside the disk is removed, nor what another source made."""
    write_files(tmp_path, "out/disk.raw", "out/notes.txt", "kept/image.raw")
    discard_rest((make_artifact("out/disk.raw"), make_artifact("kept/image.raw", builder="packer.file")), tmp_path)
    assert [path.name for path in sorted(tmp_path.rglob("*.*"))] == ["image.raw", "notes.txt"]


def test_disk_is_described_by_its_bytes(tmp_path: Path) -> None:
    """Size and digest are those of the file; what it runs on is what the definition asked for."""
    disk = tmp_path / "disk.raw"
    disk.write_bytes(_CONTENT)
    events: list[Event] = []
    definition = ImageDefinition(name="web")
    image = describe_disk(definition, disk, events.append)
    assert (image.path, image.size_bytes) == (disk, len(_CONTENT))
    assert str(image.digest) == f"sha256:{hashlib.sha256(_CONTENT).hexdigest()}"
    assert (image.architecture, image.firmware) == (definition.architecture, definition.firmware)
    assert {event.stage for event in events} == {"computing the digest"}


def test_disk_without_a_system_has_no_packages(tmp_path: Path) -> None:
    """A disk that holds no system fails verification, with a sentence."""
    disk = tmp_path / "disk.raw"
    disk.write_bytes(_CONTENT)
    with pytest.raises(VerificationFailed):
        read_disk_packages(disk)
