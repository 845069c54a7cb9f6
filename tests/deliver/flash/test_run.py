"""Cards written for real, on loop devices: whole, refused, failed, interrupted."""

import hashlib
import os
from dataclasses import replace
from pathlib import Path

import pytest

from imagekit.deliver.flash.device import Device
from imagekit.deliver.flash.hold import hold_device
from imagekit.deliver.flash.readback import Way
from imagekit.deliver.flash.run import Flashed, flash_device
from imagekit.deliver.flash.source import open_source
from imagekit.deliver.flash.sysfs import find_device
from imagekit.deliver.flash.write import Written
from imagekit.errors import HostFailed, ImageDamaged, Refused, StoreError, VerificationFailed
from imagekit.host import find_tool, run
from imagekit.image import Digest
from imagekit.progress import Event, Progress, silent
from tests.deliver.flash.conftest import MIB, Attach, make_image

pytestmark = pytest.mark.integration


def _flash(device: Path, image: Path, *, progress: Progress = silent, **more: object) -> Flashed:
    expected = more.pop("expected", None)
    assert expected is None or isinstance(expected, Digest)
    with open_source(image, expected=expected) as source:
        return flash_device(find_device(device), source, progress=progress, **more)  # type: ignore[arg-type]


def _head(device: Path) -> bytes:
    return device.read_bytes()[:MIB]


@pytest.mark.parametrize("size", [11 * MIB, 8 * MIB, 4 * MIB, 4 * MIB + 512, 2 * MIB, MIB, 70_000, 512, 11 * MIB + 17])
@pytest.mark.parametrize("options", [(), ("--direct-io=on",), ("--sector-size=4096",)])
def test_image_is_on_the_card(tmp_path: Path, attach: Attach, size: int, options: tuple[str, ...]) -> None:
    """Whatever its length, the image is on the card byte for byte, the last sector filled up with zeros."""
    image, device = tmp_path / "image.raw", attach(32 * MIB, *options)
    content = make_image(tmp_path / "long.raw", 12 * MIB)[:size]
    image.write_bytes(content)
    flashed = _flash(device, image)
    assert flashed.size_bytes == size
    assert flashed.digest == Digest(hashlib.sha256(content).hexdigest())
    assert (flashed.checked, flashed.direct) == (Way.DIRECT, True)
    found = device.read_bytes()
    assert found[:size] == content
    block = 4096 if "--sector-size=4096" in options else 512
    padding = found[size : -(-size // block) * block]
    assert padding == bytes(len(padding))
    assert found[-MIB:] == bytes(MIB), "a GPT's second copy of before"


def test_packed_image_is_unpacked_on_the_way(tmp_path: Path, attach: Attach) -> None:
    """A zstd file of several frames, an xz and a gzip one give the same card as the raw image."""
    content = make_image(tmp_path / "image.raw")
    device = attach()
    for program, suffix in (("zstd", "zst"), ("xz", "xz"), ("gzip", "gz")):
        packed = tmp_path / f"image.{suffix}"
        parts = [tmp_path / "a", tmp_path / "b"]
        parts[0].write_bytes(content[: 5 * MIB])
        parts[1].write_bytes(content[5 * MIB :])
        packed.write_bytes(b"".join(run([find_tool(program), "-1", "-c", str(part)]).output for part in parts))
        flashed = _flash(device, packed)
        assert flashed.digest.hex == hashlib.sha256(content).hexdigest()
        assert device.read_bytes()[: len(content)] == content


def test_qcow2_image_is_read(tmp_path: Path, attach: Attach) -> None:
    """A qcow2 image gives the disk that is inside."""
    content = make_image(tmp_path / "image.raw", 8 * MIB)
    run([find_tool("qemu-img"), "convert", "-O", "qcow2", str(tmp_path / "image.raw"), str(tmp_path / "image.qcow2")])
    device = attach()
    _flash(device, tmp_path / "image.qcow2")
    assert device.read_bytes()[: len(content)] == content


def test_kernel_forgets_the_old_partitions(tmp_path: Path, attach: Attach) -> None:
    """The kernel reads the partition table again: what it knew of the old one is gone, and tools find the new one."""
    make_image(tmp_path / "image.raw")
    device = attach(32 * MIB, "--partscan")
    run([find_tool("sfdisk"), "--quiet", str(device)], stdin=b"label: dos\n,4M\n,4M\n,4M\n")
    run([find_tool("partx"), "--update", str(device)])
    assert len(find_device(device).partitions) == 3
    assert _flash(device, tmp_path / "image.raw").table_read
    assert len(find_device(device).partitions) < 3
    said = run([find_tool("sfdisk"), "--dump", str(device)]).output.decode()
    assert "start=        2048, size=        4096, type=c" in said


def test_nothing_is_claimed_without_reading_back(tmp_path: Path, attach: Attach) -> None:
    """With ``verify`` off the card is written the same, and the verdict says that nothing is known."""
    content = make_image(tmp_path / "image.raw")
    device = attach()
    flashed = _flash(device, tmp_path / "image.raw", verify=False)
    assert flashed.checked is None
    assert "not read back" in flashed.explain()
    assert flashed.describe()["verified"] is False
    assert device.read_bytes()[: len(content)] == content


def test_what_is_odd_about_an_image_is_noted(tmp_path: Path, attach: Attach) -> None:
    """An image without partition table, and a GPT whose second copy is not at the end of the card, are told."""
    (tmp_path / "plain.raw").write_bytes(b"x" * MIB)
    device = attach()
    (note,) = _flash(device, tmp_path / "plain.raw").notes
    assert "no partition table" in note
    with (tmp_path / "gpt.raw").open("wb") as file:
        file.truncate(8 * MIB)
    run([find_tool("sfdisk"), "--quiet", str(tmp_path / "gpt.raw")], stdin=b"label: gpt\nsize=2M\n")
    (note,) = _flash(attach(32 * MIB, "--sector-size=4096"), tmp_path / "gpt.raw").notes
    assert "sectors of 4096 bytes" in note
    (note,) = _flash(device, tmp_path / "gpt.raw").notes
    assert "second copy" in note


def test_wrong_digest_never_gets_a_partition_table(tmp_path: Path, attach: Attach) -> None:
    """An image that is not what was stored is found out before the card could boot it."""
    make_image(tmp_path / "image.raw")
    device = attach()
    with pytest.raises(StoreError, match="does not have its digest") as caught:
        _flash(device, tmp_path / "image.raw", expected=Digest("0" * 64))
    assert "unusable until it is flashed again" in (caught.value.hint or "")
    assert _head(device) == bytes(MIB)


@pytest.mark.parametrize("program", ["zstd", "xz", "gzip", "bzip2"])
def test_truncated_download_never_gets_a_partition_table(tmp_path: Path, attach: Attach, program: str) -> None:
    """A packed file that was cut short is an error, and the card stays without a table."""
    make_image(tmp_path / "image.raw")
    packed = run([find_tool(program), "-1", "-c", str(tmp_path / "image.raw")]).output
    (tmp_path / "image.packed").write_bytes(packed[:-1000])
    device = attach()
    with pytest.raises(ImageDamaged, match=r"cut short|cannot be unpacked"):
        _flash(device, tmp_path / "image.packed")
    assert _head(device) == bytes(MIB)


def test_packed_image_that_is_too_large_is_refused(tmp_path: Path, attach: Attach) -> None:
    """What is too large only shows at the end of a packed file; the card stays without a table."""
    make_image(tmp_path / "image.raw", 11 * MIB)
    packed = run([find_tool("zstd"), "-1", "-c", str(tmp_path / "image.raw")]).output
    (tmp_path / "image.zst").write_bytes(packed)
    device = attach(10 * MIB)
    with pytest.raises(Refused, match="is too small"):
        _flash(device, tmp_path / "image.zst")
    assert _head(device) == bytes(MIB)


def test_bad_block_is_named(tmp_path: Path, attach: Attach) -> None:
    """When the medium gives back other bytes, reading stops there, the offset is told, and nothing can boot."""
    make_image(tmp_path / "image.raw")
    device = attach()
    backing = tmp_path / "card0.bin"
    stages: list[Event] = []

    def spoil(event: Event) -> None:
        stages.append(event)
        if event.stage.startswith("reading back") and event.done == 0:
            with backing.open("r+b") as file:
                file.seek(5 * MIB)
                file.write(b"rot")

    with pytest.raises(VerificationFailed, match=f"bytes {4 * MIB} to {8 * MIB}"):
        _flash(device, tmp_path / "image.raw", progress=spoil)
    assert _head(device) == bytes(MIB)
    assert max(event.done for event in stages if event.stage.startswith("reading back")) == 4 * MIB


def test_bad_table_is_taken_off_again(tmp_path: Path, attach: Attach, monkeypatch: pytest.MonkeyPatch) -> None:
    """When only the first MiB does not arrive, it is erased, so that nothing boots from it."""
    make_image(tmp_path / "image.raw")
    device = attach()

    def lose(held: object, written: Written) -> None:
        with (tmp_path / "card0.bin").open("r+b") as file:
            file.write(written.head[:-1] + b"?")

    monkeypatch.setattr("imagekit.deliver.flash.run.write_head", lose)
    with pytest.raises(VerificationFailed, match=f"bytes 0 to {MIB}"):
        _flash(device, tmp_path / "image.raw")
    assert _head(device) == bytes(MIB)


def test_failing_medium_is_told_with_its_offset(tmp_path: Path, attach: Attach) -> None:
    """An I/O error names the disk and the byte; the card has no table. Here the file's filesystem is full."""
    make_image(tmp_path / "image.raw", 24 * MIB)
    small = tmp_path / "small"
    small.mkdir()
    attach(MIB)  # skips without root
    run([find_tool("mount"), "-t", "tmpfs", "-o", "size=8M", "none", str(small)])
    try:
        with (small / "card.bin").open("wb") as file:
            file.truncate(32 * MIB)
        device = attach(file=small / "card.bin")
        with open_source(tmp_path / "image.raw") as source, pytest.raises(HostFailed) as caught:
            flash_device(find_device(device), source)
        assert f"{device} " in caught.value.message
        assert "unusable" in (caught.value.hint or "")
        run([find_tool("losetup"), "--detach", str(device)])
    finally:
        run([find_tool("umount"), str(small)])


def test_interruption_says_what_the_card_is(tmp_path: Path, attach: Attach) -> None:
    """Ctrl-C in the middle leaves a card without a table, says so, and leaves no thread behind."""
    import threading

    make_image(tmp_path / "image.raw", 24 * MIB)
    device = attach()
    notes: list[str] = []

    def interrupt(event: Event) -> None:
        notes.append(event.note)
        if event.done >= 8 * MIB:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        _flash(device, tmp_path / "image.raw", progress=interrupt)
    assert notes[-1] == f"{device} was being written: it is unusable until it is flashed again"
    assert _head(device) == bytes(MIB)
    assert not [one for one in threading.enumerate() if one.name.startswith("imagekit-")]
    assert _flash(device, tmp_path / "image.raw").checked is Way.DIRECT


def test_changed_card_is_not_written(tmp_path: Path, attach: Attach) -> None:
    """When another medium is under the same name by the time of writing, nothing is written to it."""
    make_image(tmp_path / "image.raw")
    device = attach()
    judged = find_device(device)
    run([find_tool("losetup"), "--detach", str(device)])
    other = tmp_path / "other.bin"
    other.write_bytes(b"precious" * (4 * MIB))
    run([find_tool("losetup"), str(device), str(other)])
    with open_source(tmp_path / "image.raw") as source, pytest.raises(Refused, match="not the same as a moment ago"):
        flash_device(judged, source)
    assert other.read_bytes() == b"precious" * (4 * MIB)


@pytest.mark.parametrize(
    "change", [{"size_bytes": 5}, {"serial": "other"}, {"sequence": 1}, {"number": "7:9999"}, {"backing_file": "/x"}]
)
def test_each_mark_of_identity_counts(attach: Attach, change: dict[str, object]) -> None:
    """Size, serial, sequence and device number must all be what they were."""
    judged: Device = replace(find_device(attach()), **change)  # type: ignore[arg-type]
    with pytest.raises(Refused, match="not the same"), hold_device(judged):
        pass


def test_file_is_never_made_below_dev(attach: Attach) -> None:
    """A device that is gone by the time of opening is an error, and no file takes its place."""
    judged = replace(find_device(attach()), name="imagekit-no-such-disk")
    with pytest.raises(Refused, match="cannot be opened"), hold_device(judged):
        pass
    assert not os.path.lexists("/dev/imagekit-no-such-disk")


def test_write_protected_card_is_refused(attach: Attach) -> None:
    """A read-only loop device is like a card with its lock set."""
    with pytest.raises(Refused, match="write-protected"), hold_device(find_device(attach(4 * MIB, "--read-only"))):
        pass
