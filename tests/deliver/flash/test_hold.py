"""Disks that somebody uses: each is refused, in words or by the kernel, and not one byte of it changes."""

import contextlib
import hashlib
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from imagekit.deliver.flash.hold import hold_device, unmount_all
from imagekit.deliver.flash.refuse import Reason, list_refusals
from imagekit.deliver.flash.sysfs import find_device, read_devices
from imagekit.deliver.flash.usage import read_usage
from imagekit.errors import Refused
from imagekit.host import find_tool, run, start
from imagekit.host.local import end
from tests.deliver.flash.conftest import MIB, Attach
from tests.namespace import unshare_mounts

pytestmark = pytest.mark.integration


@pytest.fixture
def card(attach: Attach) -> Path:
    """Return a loop device with two partitions, the first with a filesystem; its file is card0.bin."""
    device = attach(64 * MIB, "--partscan")
    run([find_tool("sfdisk"), "--quiet", str(device)], stdin=b"label: dos\n,24M\n,,\n")
    run([find_tool("partx"), "--update", str(device)])  # not every kernel reads partition tables by itself
    run([find_tool("mke2fs"), "-q", "-t", "ext4", f"{device}p1"])
    return device


@contextlib.contextmanager
def _mounted(source: str, point: Path) -> Iterator[None]:
    point.mkdir()
    run([find_tool("mount"), source, str(point)])
    try:
        yield
    finally:
        run([find_tool("umount"), str(point)], check=False)


def _reasons(device: Path, *, unmount: bool = False) -> list[Reason]:
    found = list_refusals(find_device(device), read_usage(), kept={}, unmount=unmount)
    return [one.reason for one in found]


def _hold(device: Path) -> None:
    with hold_device(find_device(device)):
        pass


def _wait_until(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def _sees(pid: int, device: Path) -> bool:
    """Say whether a process has a partition of the device open, and is ``sleep`` already."""
    with contextlib.suppress(OSError):
        links = [os.readlink(f"/proc/{pid}/fd/3")]  # noqa: PTH115 - no real path
        return links == [f"{device}p2"] and Path(f"/proc/{pid}/comm").read_text() == "sleep\n"
    return False


def _require_busy(device: Path) -> str:
    with pytest.raises(Refused, match="is in use") as caught, hold_device(find_device(device)):
        pass
    return caught.value.message


def test_unused_card_can_be_held(card: Path) -> None:
    """A card that nobody uses is opened; meanwhile nobody else can mount it."""
    assert _reasons(card) == []
    with hold_device(find_device(card)) as held:
        assert held.direct
        said = run([find_tool("mount"), f"{card}p1", "/mnt"], check=False)
        assert said.status != 0
        with pytest.raises(Refused, match="in use by PID"), hold_device(find_device(card)):
            pass


def test_card_that_a_program_writes_to_is_refused(card: Path) -> None:
    """A program that opened the card without asking for it alone, is named; readers may stay."""
    for redirect, refused in (("<", False), ("<>", True)):
        running = start(["sh", "-c", f'exec sleep 60 3{redirect} "$1"', "sh", f"{card}p2"])
        try:
            _wait_until(lambda pid=running.pid: _sees(pid, card))  # type: ignore[misc]
            if refused:
                with pytest.raises(Refused, match=r"open for writing in PID [0-9]+ \(sleep\)"):
                    _hold(card)
            else:
                _hold(card)
        finally:
            end(running)


def test_mounted_card_is_refused_and_unmounted_on_request(card: Path, tmp_path: Path) -> None:
    """A mount is named; --unmount takes it away politely, the last one first."""
    with _mounted(f"{card}p1", tmp_path / "my card"), _mounted(f"{card}p1", tmp_path / "again"):
        device, usage = find_device(card), read_usage()
        (refusal,) = list_refusals(device, usage, kept={})
        assert refusal.sentence == f"is mounted at {tmp_path / 'my card'} and {tmp_path / 'again'}"
        _require_busy(card)
        assert _reasons(card, unmount=True) == []
        assert unmount_all(device, usage) == (str(tmp_path / "again"), str(tmp_path / "my card"))
        with hold_device(device, patience=20):
            pass


def test_mount_in_use_is_not_forced(card: Path, tmp_path: Path) -> None:
    """A filesystem with an open file stays mounted, and who uses it can be found out."""
    point = tmp_path / "mounted"
    with _mounted(f"{card}p1", point), (point / "open").open("w"):
        with pytest.raises(Refused, match="cannot be unmounted") as caught:
            unmount_all(find_device(card), read_usage())
        assert f"fuser -vm {point}" in (caught.value.hint or "")
        assert _reasons(card) == [Reason.MOUNTED]


def test_lazily_unmounted_card_is_busy(card: Path, tmp_path: Path) -> None:
    """A lazy unmount hides a filesystem that still writes; the exclusive open meets it."""
    with _mounted(f"{card}p1", tmp_path / "point"), (tmp_path / "point/open").open("w") as file:
        run([find_tool("umount"), "--lazy", str(tmp_path / "point")])
        assert _reasons(card) == []
        _require_busy(card)
        file.write("late")
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        with contextlib.suppress(Refused), hold_device(find_device(card)):
            return
    raise AssertionError("it stays busy")


def test_mount_in_another_namespace_is_busy(card: Path, tmp_path: Path) -> None:
    """What a container has mounted is not in our mountinfo; the exclusive open meets it."""
    (tmp_path / "point").mkdir()
    script = 'mount "$1" "$2" && touch "$3" && sleep 60'
    ready = tmp_path / "ready"
    argv = [*unshare_mounts(), "sh", "-c", script, "sh", f"{card}p1", str(tmp_path / "point"), str(ready)]
    running = start(argv)
    try:
        deadline = time.monotonic() + 10
        while not ready.exists() and time.monotonic() < deadline:
            time.sleep(0.02)
        assert ready.exists()
        assert _reasons(card) == []
        _require_busy(card)
    finally:
        end(running)


def test_swap_is_refused(card: Path, tmp_path: Path) -> None:
    """Swap on a partition is named, with the command that ends it."""
    run([find_tool("mkswap"), f"{card}p2"])
    run([find_tool("swapon"), f"{card}p2"])
    try:
        (refusal,) = list_refusals(find_device(card), read_usage(), kept={}, unmount=True)
        assert (refusal.reason, refusal.hint) == (Reason.SWAP, f"swapoff {card}p2")
        _require_busy(card)
    finally:
        run([find_tool("swapoff"), f"{card}p2"])


def test_loop_device_on_a_partition_is_refused(card: Path, attach: Attach) -> None:
    """A loop device on a partition is no holder to the kernel, which would let us pass: it is looked for."""
    inner = attach(file=Path(f"{card}p1"))
    (refusal,) = list_refusals(find_device(card), read_usage(), kept={})
    assert (refusal.reason, refusal.hint) == (Reason.HELD, f"release it first: losetup -d {inner}")
    (refusal,) = list_refusals(find_device(inner), read_usage(), kept={})
    assert refusal.reason is Reason.BACKING


def test_both_disks_of_a_btrfs_are_refused(attach: Attach, tmp_path: Path) -> None:
    """A btrfs of two devices shows one of them in mountinfo; both are in use."""
    one, other = attach(128 * MIB), attach(128 * MIB)
    run([find_tool("mkfs.btrfs"), "--quiet", "--data", "raid1", str(one), str(other)])
    run([find_tool("btrfs"), "device", "scan", str(one), str(other)])
    with _mounted(str(one), tmp_path / "pool"):
        for device in (one, other):
            assert _reasons(device) == [Reason.MOUNTED]
            _require_busy(device)
    run([find_tool("btrfs"), "device", "scan", "--forget", str(one), str(other)])


def test_this_machines_own_disk_is_refused_unopened(tmp_path: Path) -> None:
    """The disk under / is refused by what is known of it: nothing is opened for that."""
    usage = read_usage()
    disks = usage.find_disks_of_path("/")
    if not disks:
        pytest.skip("the root of this machine is on no block device")
    for name in disks:
        device = next(one for one in read_devices() if one.name == name)
        (refusal, *_) = list_refusals(device, usage, kept={}, unmount=True)
        assert refusal.reason in (Reason.SYSTEM, Reason.KIND)


def test_refused_disks_keep_their_bytes(card: Path, tmp_path: Path) -> None:
    """Judging a card and failing to open it changes nothing on it."""
    backing = tmp_path / "card0.bin"
    os.sync()
    with _mounted(f"{card}p1", tmp_path / "point"):
        os.sync()
        before = hashlib.sha256(backing.read_bytes()).hexdigest()
        _reasons(card)
        _require_busy(card)
        assert hashlib.sha256(backing.read_bytes()).hexdigest() == before
