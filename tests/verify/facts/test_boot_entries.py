"""Boot entries and the names of disks in them."""

import pytest

from imagekit.verify.facts.boot_entries import (
    parse_device,
    read_arguments,
    read_default_entry,
    read_disk_names,
    read_entries,
)
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


MENU = """
if [ "${next_entry}" ] ; then
   set default="${next_entry}"
else
   set default="%s"
fi
menuentry 'Debian' --class debian $menuentry_id_option 'simple' {
\tlinux /first root=UUID=1
}
menuentry 'Firmware' {
\tfwsetup
}
submenu 'Advanced' $menuentry_id_option 'advanced' {
\tmenuentry 'Debian 6.2' --id 'six' {
\t\tif [ x = y ]; then
\t\t\tinsmod gzio
\t\tfi
\t\tlinux /second root=UUID=2
\t}
\tmenuentry 'Debian > 6.1' {
\t\tlinux /third root=UUID=3
\t}
}
"""


@pytest.mark.parametrize(
    ("default", "kernel"),
    [
        ("0", "/first"),
        ("simple", "/first"),
        ("1", "/first"),  # has no kernel: what it would start is not known, the first one is
        ("2", "/second"),
        ("2>1", "/third"),
        ("Advanced>Debian 6.2", "/second"),
        ("advanced>six", "/second"),
        ("advanced>Debian >> 6.1", "/third"),
        ("gone", "/first"),
        ("${saved_entry}", "/third"),
        ("$saved_entry", "/third"),
        ("", "/first"),
    ],
)
def test_default_entry_is_what_grub_would_start(make_view: MakeView, default: str, kernel: str) -> None:
    """Numbers, titles, ids, submenus and the saved entry are followed as GRUB follows them."""
    environment = "# GRUB Environment Block\nsaved_entry=advanced>1\n####"
    view = make_view({GRUB: MENU % default, "/boot/grub/grubenv": environment})
    entry = read_default_entry(view)
    assert entry is not None
    assert entry.kernel == kernel


def test_next_entry_is_the_default_of_the_first_boot(make_view: MakeView) -> None:
    """What grub-reboot left behind is what every clone boots first."""
    view = make_view({GRUB: MENU % "0", "/boot/grub/grubenv": "next_entry=2>0\nsaved_entry=\n"})
    entry = read_default_entry(view)
    assert entry is not None
    assert entry.kernel == "/second"


def test_saved_entry_names_a_specification_entry(make_view: MakeView) -> None:
    """Fedora's grubenv holds the name of an entry's file, and its kernelopts."""
    view = make_view(
        {
            "/boot/grub2/grub.cfg": 'set default="${saved_entry}"\nblscfg\n',
            "/boot/grub2/grubenv": "saved_entry=id-6.9.1\nkernelopts=root=UUID=9 ro\n",
            "/boot/loader/entries/id-6.9.1.conf": "title F\nlinux /old\noptions $kernelopts quiet\n",
            "/boot/loader/entries/id-6.10.1.conf": "title F\nlinux /new\noptions $kernelopts\n",
        }
    )
    entry = read_default_entry(view)
    assert entry is not None
    assert (entry.kernel, entry.arguments) == ("/old", ("root=UUID=9", "ro", "quiet"))
    assert [each.kernel for each in read_entries(view)] == ["/new", "/old"]


def test_loader_settings_choose_by_pattern(make_view: MakeView) -> None:
    """systemd-boot's default is a pattern of file names."""
    view = make_view(
        {
            "/boot/loader/loader.conf": "timeout 3\ndefault a-*\n",
            "/boot/loader/entries/a-1.conf": "linux /wanted\n",
            "/boot/loader/entries/b-2.conf": "linux /other\n",
        }
    )
    entry = read_default_entry(view)
    assert entry is not None
    assert entry.kernel == "/wanted"


def test_no_entry_is_no_default(make_view: MakeView) -> None:
    """Without boot configuration there is nothing to start."""
    assert read_default_entry(make_view({})) is None


def test_stub_on_a_mounted_esp_counts(make_view: MakeView) -> None:
    """In a directory the ESP's stub is found at its mount point, whoever the vendor is."""
    names = read_disk_names(make_view({"/boot/efi/EFI/fedora/grub.cfg": "search --fs-uuid --set=dev abcd-2\n"}))
    assert [(name.kind, name.value) for name in names] == [("UUID", "abcd-2")]


def test_neighbour_of_a_partition_is_the_partition(make_view: MakeView) -> None:
    """PARTNROFF counts from a partition that must be there."""
    names = read_disk_names(make_view({GRUB: "linux /k root=PARTUUID=12-01/PARTNROFF=1\nsearch.fs_label root root\n"}))
    assert [(name.kind, name.value) for name in names] == [("PARTUUID", "12-01"), ("LABEL", "root")]


def test_endless_menus_cost_little(make_view: MakeView) -> None:
    """A menu nested a hundred thousand times is followed to a depth that no machine has."""
    deep = "submenu x {\n" * 50_000 + "linux /deep root=UUID=1\n" * 2000 + "}\n" * 50_000
    view = make_view({GRUB: deep + "menuentry y {\nlinux /flat\n}\n"})
    assert max(len(entry.keys) for entry in read_entries(view)) <= 64
    assert read_entries(view)[-1].keys == (frozenset({"1", "y"}),)
