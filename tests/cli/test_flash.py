"""flash and devices: on loop devices of our own, and nowhere else."""

import bz2
import hashlib
import io
import os
import random
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from imagekit.deliver.flash.device import Bus, Device
from imagekit.errors import Refused
from imagekit.host import find_tool, run, start
from imagekit.host.local import end
from imagekit.pipeline.flash import FlashImage, FlashPlan, KnownDevice, require_agreement
from imagekit.store import Store
from tests.cli.conftest import Program
from tests.deliver.flash.conftest import MIB, Attach, attach, make_image
from tests.namespace import unshare_mounts

__all__ = ["attach"]  # a fixture that this file shares
PROJECT = Path(__file__).parents[2]


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], None]]:
    """Put a terminal in the place of standard input; return what types a line on it."""
    master, slave = os.openpty()
    with open(slave, encoding="utf-8") as keyboard:  # noqa: PTH123 - a descriptor
        monkeypatch.setattr("sys.stdin", keyboard)
        yield lambda line: void(os.write(master, f"{line}\n".encode()))
    os.close(master)


def void(_result: object) -> None:
    """Return nothing."""


def _plan(**more: Any) -> FlashPlan:
    fields: dict[str, Any] = {"bus": Bus.USB, "serial": "0042", "removable": True, "read_only": False} | more
    device = Device("sdz", "65:144", 1 << 30, 512, model="Reader", sequence=7, **fields)
    return FlashPlan(FlashImage("pihole@20261121-1", Path("x"), None), KnownDevice(device, (), ()), MIB)


def test_script_names_the_card_by_its_serial_number() -> None:
    """--yes alone is for loop devices; a card needs its serial number, and one without any needs a person."""
    require_agreement(_plan(bus=Bus.LOOP, serial=""), "")
    require_agreement(_plan(), "0042")
    with pytest.raises(Refused, match="needs the serial number") as caught:
        require_agreement(_plan(), "")
    assert "--serial 0042" in (caught.value.hint or "")
    with pytest.raises(Refused, match="has no serial number"):
        require_agreement(_plan(serial=""), "")


@pytest.mark.parametrize(
    ("device", "said"),
    [
        ("/dev/imagekit-no-such-disk", "there is no device"),
        ("/dev/null", "not a block device"),
        ("card.img", "card.img is a file"),
        (".", "is a directory"),
    ],
)
def test_what_is_no_device_is_refused(program: Program, device: str, said: str) -> None:
    """Exit code 7, the name in the sentence, and nothing is made or changed; the image is not even looked for."""
    Path("card.img").write_bytes(b"mine")
    refused = program("flash", "pihole", device, "--yes", status=7)
    assert (said in refused.errors, refused.output) == (True, "")
    assert "imagekit devices" in refused.errors
    assert Path("card.img").read_bytes() == b"mine"
    assert not os.path.lexists("/dev/imagekit-no-such-disk")


def test_disk_of_this_system_is_refused(program: Program) -> None:
    """The disk under / is refused, as a rehearsal too, before anything is opened."""
    from imagekit.deliver.flash.usage import read_usage

    for name in read_usage().find_disks_of_path("/"):
        for more in (["--dry-run"], ["--dry-run", "--unmount"]):
            refused = program("flash", "pihole", f"/dev/{name}", *more, status=7)
            assert "nothing was written" in refused.errors


def test_one_card_at_a_time(program: Program) -> None:
    """More than an image and a device is wrong usage."""
    assert "one card at a time" in program("flash", "a", "/dev/null", "/dev/zero", status=2).errors
    assert "Missing argument" in program("flash", status=2).errors


def test_devices_are_listed(program: Program) -> None:
    """Every disk has its answer with the reason, in a table and as JSON; nothing is opened."""
    said = program("devices", "--json").json()["devices"]
    assert isinstance(said, list)
    for one in said:
        assert one["flashable"] is (one["refusals"] == [])
        assert all(reason["sentence"] for reason in one["refusals"])
    rows = program("devices").output.splitlines()
    assert len(rows) == (len(said) + 1 if said else 0)


def test_macos_is_told_that_it_has_to_wait(program: Program, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both commands say on other systems that they cannot, with exit code 7."""
    monkeypatch.setattr("imagekit.deliver.flash.sysfs.sys.platform", "darwin")
    assert "Linux only" in program("devices", status=7).errors
    assert "Linux only" in program("flash", "/dev/rdisk4", status=7).errors


@pytest.mark.integration
def test_stored_version_is_flashed(program: Program, store: Store, attach: Attach) -> None:
    """Without IMAGE it is pihole@stable; the digest of the store is what was read back."""
    device = attach()
    assert "points to no version yet" in program("flash", str(device), "--yes", status=6).errors
    program("promote", "pihole", "stable")
    said = program("flash", str(device), "--yes")
    (version,) = store.list_versions("pihole")
    first, second = said.output.splitlines()
    assert first == f"{device} holds pihole@20260708-1 ({version.digest})"
    assert "all of it read back past the page cache" in second
    document = program("flash", "pihole", str(device), "--yes", "--json").json()
    assert (document["verified"], document["read_back"], document["digest"]) == (True, "direct", str(version.digest))
    assert device.read_bytes()[: version.size_bytes] == store.disk_path(version).read_bytes()


@pytest.mark.integration
def test_damaged_store_never_makes_a_card(program: Program, store: Store, attach: Attach) -> None:
    """A stored disk that has rotted is exit code 6, and the card has no partition table."""
    device = attach()
    (version,) = store.list_versions("pihole")
    disk = store.disk_path(version)
    disk.chmod(0o644)
    with disk.open("r+b") as file:
        file.write(b"rot")
    said = program("flash", "pihole@20260708-1", str(device), "--yes", status=6)
    assert "does not have its digest" in said.errors
    assert "unusable until it is flashed again" in said.errors
    assert device.read_bytes()[:MIB] == bytes(MIB)


@pytest.mark.integration
def test_person_types_the_name(program: Program, attach: Attach, terminal: Callable[[str], None]) -> None:
    """What is on the card is shown, and only its name lets the writing begin; anything else is a refusal."""
    content = make_image(Path("image.raw"))
    device = attach()
    before = device.read_bytes()
    terminal("y")
    said = program("flash", "image.raw", str(device), status=7)
    assert f"Type {device.name} to overwrite it" in said.errors
    assert "everything on it is lost" in said.errors
    assert device.read_bytes() == before
    terminal(device.name)
    program("flash", "image.raw", str(device))
    assert device.read_bytes()[: len(content)] == content


@pytest.mark.integration
def test_nobody_to_ask_is_a_refusal(program: Program, attach: Attach, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a terminal and without --yes nothing is written."""
    make_image(Path("image.raw"))
    device = attach()
    before = device.read_bytes()
    with open(os.devnull) as nobody:  # noqa: PTH123 - a device
        monkeypatch.setattr("sys.stdin", nobody)
        assert "nobody is here to agree" in program("flash", "image.raw", str(device), status=7).errors
    said = program("flash", "image.raw", str(device), "--dry-run")
    assert said.output == f"{device} may be flashed; nothing was written\n"
    assert program("flash", "image.raw", str(device), "--dry-run", "--json").json()["flashable"] is True
    assert device.read_bytes() == before


@pytest.mark.integration
def test_what_does_not_fit_is_refused(program: Program, attach: Attach) -> None:
    """An image that is larger than the card is exit code 7, and the card keeps its bytes."""
    make_image(Path("image.raw"))
    device = attach(8 * MIB)
    before = device.read_bytes()
    assert "is too small" in program("flash", "image.raw", str(device), "--yes", status=7).errors
    assert "has no serial number, not 12" in program(
        "flash", "image.raw", str(device), "--yes", "--serial", "12", status=7
    ).errors.replace("is too small: it has 8.0 MiB, and the image has 11.0 MiB; ", "")
    assert device.read_bytes() == before


@pytest.mark.integration
def test_what_is_no_image_is_told(program: Program, attach: Attach) -> None:
    """Archives, empty and missing files and devices are no images, and the card keeps its bytes."""
    device = attach(8 * MIB)
    before = device.read_bytes()
    Path("empty.img").touch()
    Path("archive.zip").write_bytes(b"PK\x03\x04" + bytes(600))
    Path("inner.tar").write_bytes(bytes(257) + b"ustar" + bytes(600))
    run([find_tool("zstd"), "-q", "inner.tar"], directory=Path.cwd())
    for image, said in (
        ("empty.img", "is empty"), ("archive.zip", "is a zip file"), ("inner.tar.zst", "holds a tar file"),
        ("./gone.img", "No such file"),
    ):  # fmt: skip
        assert said in program("flash", image, str(device), "--yes", status=5).errors
    assert "is a device, not an image" in program("flash", str(device), str(device), "--yes", status=7).errors
    assert device.read_bytes() == before


@pytest.mark.integration
def test_mounted_card_is_unmounted_on_request(program: Program, attach: Attach, tmp_path: Path) -> None:
    """A mounted card is refused with the way out; with --unmount it is flashed."""
    content = make_image(Path("image.raw"))
    device = attach()
    run([find_tool("mke2fs"), "-q", "-t", "ext4", str(device)])
    (tmp_path / "point").mkdir()
    run([find_tool("mount"), str(device), str(tmp_path / "point")])
    try:
        said = program("flash", "image.raw", str(device), "--yes", status=7)
        assert f"is mounted at {tmp_path / 'point'}" in said.errors
        assert "--unmount" in said.errors
        (listed,) = (one for one in program("devices", "--json").json()["devices"] if one["device"] == str(device))
        assert (listed["flashable"], listed["mounts"]) == (False, [str(tmp_path / "point")])
        program("flash", "image.raw", str(device), "--dry-run", "--unmount")
        assert os.path.ismount(tmp_path / "point")
        program("flash", "image.raw", str(device), "--yes", "--unmount")
    finally:
        run([find_tool("umount"), str(tmp_path / "point")], check=False)
    assert device.read_bytes()[: len(content)] == content


@pytest.mark.integration
def test_user_without_rights_is_told(attach: Attach) -> None:
    """Without root every refusal is still a sentence, and so is the device that may not be opened."""
    device = attach()
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        place.chmod(0o755)
        make_image(place / "image.raw")
        for inner in ("project", "python"):
            (place / inner).mkdir()
        # Source and interpreter may lie in a home that nobody else can look into.
        script = (
            'mount --bind "$1" "$3/project"; mount --bind "$2" "$3/python"; cd "$3"; export PYTHONPATH="$3/project"; '
            'exec setpriv --reuid=65534 --regid=65534 --clear-groups -- "$3/python/bin/python" -m imagekit "${@:4}"'
        )
        program = [*unshare_mounts(), find_tool("bash"), "-euc", script, "bash", str(PROJECT), sys.prefix, name]
        for arguments, said in (
            ((str(device), "--yes"), "may not be written by this user"),
            (("/dev/null", "--yes"), "not a block device"),
        ):
            ended = run(
                [*program, "flash", str(place / "image.raw"), *arguments],
                environment={"HOME": name}, check=False,
            )  # fmt: skip
            assert (ended.status, said in ended.errors) == (7, True), ended
        listed = run([*program, "devices"], environment={"HOME": name})
        assert str(device) in listed.output.decode()


@pytest.fixture
def slow_image(tmp_path: Path) -> tuple[Path, bytes]:
    """Return an image that takes seconds to unpack, and what is inside: five times the same 4 MiB."""
    piece = random.Random(5).randbytes(4 * MIB)
    path = tmp_path / "slow.img.bz2"
    path.write_bytes(bz2.compress(piece, 1) * 5)
    return path, piece * 5


def _start_flashing(image: Path, device: Path, backing: Path, content: bytes, said: io.BytesIO) -> Any:
    """Start the program and return it once it writes."""
    running = start(
        [sys.executable, "-m", "imagekit", "flash", str(image), str(device), "--yes"],
        directory=PROJECT, stderr=said,
    )  # fmt: skip
    deadline = time.monotonic() + 60
    with backing.open("rb") as file:
        while os.pread(file.fileno(), MIB, 8 * MIB) != content[8 * MIB : 9 * MIB]:
            assert running.is_alive()
            assert time.monotonic() < deadline
            time.sleep(0.02)
    return running


@pytest.mark.integration
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_interrupted_card_boots_nothing_and_can_be_flashed_again(
    program: Program, attach: Attach, tmp_path: Path, slow_image: tuple[Path, bytes], number: signal.Signals
) -> None:
    """Ctrl-C and kill -9 in the middle leave no partition table; the same command run again makes the card good."""
    image, content = slow_image
    device, backing = attach(64 * MIB), tmp_path / "card0.bin"
    errors = io.BytesIO()
    running = _start_flashing(image, device, backing, content, errors)
    try:
        os.kill(running.pid, number)
        deadline = time.monotonic() + 20
        while running.is_alive() and time.monotonic() < deadline:
            time.sleep(0.02)
        assert not running.is_alive()
    finally:
        end(running)
    assert device.read_bytes()[:MIB] == bytes(MIB)
    if number is signal.SIGINT:
        said = errors.getvalue().decode()
        assert f"{device} was being written: it is unusable until it is flashed again" in said
        assert "interrupted" in said
        assert "Traceback" not in said
    document = program("flash", str(image), str(device), "--yes", "--json").json()
    assert document["digest"] == f"sha256:{hashlib.sha256(content).hexdigest()}"
    assert device.read_bytes()[: len(content)] == content
