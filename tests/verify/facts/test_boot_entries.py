"""Boot entries and the names of disks in them."""

import pytest

from imagekit.verify.facts.boot_entries import parse_device, read_arguments, read_disk_names, read_entries
from tests.verify.facts.conftest import MakeView

GRUB = "/boot/grub/grub.cfg"


def test_entries_come_in_the_order_of_the_file(make_view: MakeView) -> None:
    """The first linux command is the default; an initrd belongs to the one before it."""
    view = make_view({GRUB: "linux /a root=UUID=1 ro\ninitrd /b /c\nlinuxefi /d\nlinux16 /e\n initrd16 /f\n"})
    entries = read_entries(view)
    assert [(entry.kernel, entry.initrds) for entry in entries] == [("/a", ("/b", "/c")), ("/d", ()), ("/e", ("/f",))]
    assert entries[0].arguments == ("root=UUID=1", "ro")


def test_newest_specification_entry_is_first(make_view: MakeView) -> None:
    """Of Boot Loader Specification entries the newest version is the default."""
    view = make_view(
        {
            "/boot/loader/entries/a-6.1.conf": "linux /old\noptions root=UUID=1\n",
            "/boot/loader/entries/a-6.2.conf": "title x\nlinux /new\ninitrd /i\noptions root=UUID=2 quiet\n",
        }
    )
    assert [entry.kernel for entry in read_entries(view)] == ["/new", "/old"]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("search --no-floppy --fs-uuid --set=root --hint-bios=hd0,gpt2 abcd-1", ("UUID", "abcd-1")),
        ("search --fs-uuid abcd-1 --set root", ("UUID", "abcd-1")),
        ("search.fs_uuid abcd-1 root hd0,gpt2", ("UUID", "abcd-1")),
        ("search --label cloudimg-rootfs --set=root", ("LABEL", "cloudimg-rootfs")),
        ("linux /k root=PARTUUID=12-02", ("PARTUUID", "12-02")),
        ("linux /k root=/dev/disk/by-label/x", ("LABEL", "x")),
    ],
)
def test_disk_names_are_found(make_view: MakeView, line: str, expected: tuple[str, str]) -> None:
    """Every way in which GRUB and the kernel name a filesystem is understood."""
    names = read_disk_names(make_view({GRUB: f"  {line}\n"}))
    assert [(name.kind, name.value) for name in names] == [expected]


def test_variables_and_files_are_no_names(make_view: MakeView) -> None:
    """What GRUB works out itself, and searches for files, are not compared with the disk."""
    view = make_view({GRUB: "search --file /.disk/info --set=root\nsearch --fs-uuid --set=root $uuid\n"})
    assert read_disk_names(view) == ()


def test_arguments_of_future_kernels_count(make_view: MakeView) -> None:
    """What the next update-grub will write is on the kernel command line of clones too."""
    view = make_view(
        {
            "/etc/default/grub": 'GRUB_CMDLINE_LINUX="quiet a=1"\n# GRUB_CMDLINE_LINUX="b=2"\n',
            "/etc/default/grub.d/x.cfg": "GRUB_CMDLINE_LINUX_DEFAULT='c=3'\n",
            "/etc/kernel/cmdline": "d=4\n",
        }
    )
    assert [argument.text for argument in read_arguments(view)] == ["quiet", "a=1", "c=3", "d=4"]


def test_other_devices_are_no_names() -> None:
    """A kernel name names a bus, not a filesystem."""
    assert parse_device("/dev/sda1") is None
