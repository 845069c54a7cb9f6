"""What on a NixOS card is as it should be although it looks unlike the usual one, and what cannot be judged."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from imagekit.verify import verify_directory, verify_disk
from imagekit.verify.formats.text import render_text
from tests.verify import clean_card as card
from tests.verify.clean_tree import append, link, remove, replace, write
from tests.verify.dirty.change import all_of, removed, swapped, wrote
from tests.verify.dirty.sd_disk import CARD, firmware_run

_WANTS = f"{card.UNITS}/multi-user.target.wants"
_NETWORK = f"{card.NETWORKS}/20-wired.network"
_KEYS = f"{card.ETC}/etc/ssh/authorized_keys.d"


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A clean card's tree of the test's own."""
    return card.make_card_tree(tmp_path / "root")


@pytest.fixture
def image(tree: Path, tmp_path: Path) -> Path:
    """A clean card's image of the test's own."""
    card.make_card(tree, tmp_path / "card.img", tmp_path)
    return tmp_path / "card.img"


def _key_in_home(root: Path) -> None:
    remove(root, f"{_KEYS}/ops")
    write(root, "/home/ops/.ssh/authorized_keys", card.KEY)
    (root / "home/ops/.ssh").chmod(0o700)


def _copied_key(root: Path) -> None:
    """Have etc.nix copy the file: mode and owner are in files beside the link."""
    for name, text in (("mode", "0444"), ("uid", "+0"), ("gid", "+0")):
        write(root, f"{_KEYS}/ops.{name}", text)


def _userborn(root: Path) -> None:
    path = card.store("userborn.json")
    write(root, f"{card.SYSTEM}/activate", "#!/bin/sh\n")
    write(root, path, card.write_accounts(*card.USERS))
    write(root, f"{card.NETWORKD_UNIT}/userborn.service", f"[Service]\nExecStart=userborn {path} /etc\n")
    link(root, f"{card.UNITS}/userborn.service", f"{card.NETWORKD_UNIT}/userborn.service")


def _socket(root: Path) -> None:
    remove(root, f"{_WANTS}/sshd.service")
    write(root, f"{card.SSHD_UNIT}/sshd.socket", "[Socket]\nListenStream=22\n")
    link(root, f"{card.UNITS}/sshd.socket", f"{card.SSHD_UNIT}/sshd.socket")
    link(root, f"{card.UNITS}/sockets.target.wants/sshd.socket", "../sshd.socket")


def _network_manager(root: Path) -> None:
    remove(root, f"{_WANTS}/systemd-networkd.service")
    write(root, f"{card.NETWORKD_UNIT}/NetworkManager.service", "[Service]\nExecStart=NetworkManager\n")
    link(root, f"{card.UNITS}/NetworkManager.service", f"{card.NETWORKD_UNIT}/NetworkManager.service")
    link(root, f"{card.UNITS}/network.target.wants/NetworkManager.service", "../NetworkManager.service")


def _repart(root: Path) -> None:
    replace(root, card.LOCAL_COMMANDS, "resize2fs", "true")
    write(root, f"{card.NETWORKD_UNIT}/growpart.service", "[Service]\nExecStart=growpart\n")
    link(root, f"{card.UNITS}/growpart.service", f"{card.NETWORKD_UNIT}/growpart.service")
    link(root, f"{_WANTS}/growpart.service", "../growpart.service")


def _off(text: str) -> Callable[[Path], None]:
    return wrote(card.store("settings"), text)


LEGITIMATE: dict[str, Callable[[Path], None]] = {
    "key-in-home": _key_in_home,
    "copied-key": _copied_key,
    "certificates": all_of(
        removed(f"{_KEYS}/ops"), lambda root: append(root, card.SSHD_CONFIG, "TrustedUserCAKeys /etc/ssh/ca.pub\n")
    ),
    "socket": _socket,
    "userborn": _userborn,
    "locked": swapped(card.ACCOUNTS, '"hashedPassword": "!"', '"hashedPassword": "*"'),
    "network-manager": _network_manager,
    "both-names": swapped(_NETWORK, "Type=ether", "Name=end0 eth0"),
    "pattern": swapped(_NETWORK, "Type=ether", "Name=en* eth*"),
    "kernel-names": all_of(
        swapped(_NETWORK, "Type=ether", "Name=eth0"), swapped(card.EXTLINUX, "loglevel=7", "net.ifnames=0")
    ),
    "other-grower": _repart,
    "no-device-tree": swapped(card.EXTLINUX, "  FDTDIR ../nixos/dtbs\n", ""),
    "absolute": swapped(card.EXTLINUX, "../nixos/kernel-Image", "/boot/nixos/kernel-Image"),
    "in-store": swapped(card.EXTLINUX, "../nixos/kernel-Image", f"{card.KERNEL}/Image"),
    "menu-default": swapped(card.EXTLINUX, "DEFAULT nixos-default\n", ""),
    "file-names": _off("WEBPASSWORD_FILE=/run/secrets/web\nEnvironment=TOKEN_FILE=/x\n"),
    "variables": _off("WEBPASSWORD=$WEB\nWEBPASSWORD=${WEB}\nWEBPASSWORD=\nWEBPASSWORD=\"$(x)\"\nWEBPASSWORD=@W@\n"),
    "references": _off("psk=ext:home\npsk=$HOME_PSK\n#psk=\nEnvironment=\"API_TOKEN=%d/token\"\n"),
    "null": _off('{"hashedPassword":null,"password":null,"hashedPassword":"!"}'),
    "certificate": _off("-----BEGIN CERTIFICATE-----\n" + "MIIB" * 16 + "\n-----END CERTIFICATE-----\n"),
    "script": _off('read -r PASSWORD\nexport DB_PASSWORD="$1"\ntoken=$(cat "$CREDENTIALS_DIRECTORY/token")\n'),
    "package": wrote(f"{card.OPENSSL}/etc/example.conf", "WEBPASSWORD=example\n"),
}  # fmt: skip


def _register(root: Path) -> None:
    """Register what a change has added to the store."""
    known = (root / card.REGISTRATION[1:]).read_text(encoding="utf-8")
    for place in sorted((root / "nix/store").iterdir()):
        path = f"/nix/store/{place.name}"
        if path not in known:
            append(root, card.REGISTRATION, f"{path}\n{'0' * 64}\n4096\n\n0\n")


@pytest.mark.parametrize("name", LEGITIMATE)
def test_legitimate_card_is_not_reported(name: str, tree: Path) -> None:
    """A card that does it another way, and rightly so, has no finding."""
    LEGITIMATE[name](tree)
    if name == "menu-default":
        replace(tree, card.EXTLINUX, "  MENU LABEL NixOS - Default\n", "  MENU LABEL NixOS\n  MENU DEFAULT\n")
    _register(tree)
    report = verify_directory(tree, CARD)
    assert not report.findings, render_text(report)
    assert {"sd-access", "sd-network", "sd-store-secrets", "sd-extlinux", "sd-closure"} <= set(report.passed)


def _set_firmware(image: Path, config: str, *remove_names: str) -> None:
    place = image.with_name("config.txt")
    place.write_text(config, encoding="utf-8")
    firmware_run(image, "mcopy", "-o", str(place), "::/config.txt")
    for name in remove_names:
        firmware_run(image, "mdel", f"::/{name}")


@pytest.mark.parametrize(
    ("config", "without"),
    [
        ("[pi4]\nkernel=u-boot-rpi4.bin\n", ("bootcode.bin", "start.elf", "u-boot-rpi3.bin", "fixup.dat")),
        ("[pi3]\nkernel=U-BOOT-RPI3.BIN # the other case\n", ("start4.elf", "bcm2711-rpi-4-b.dtb")),
        ("kernel=u-boot-rpi4.bin\n", ("bootcode.bin",)),
        ("[all]\ninclude more.txt\n", ()),
    ],
    ids=["pi4", "pi3", "no-board", "include"],
)
def test_firmware_is_judged_for_the_boards_that_it_is_for(config: str, without: tuple[str, ...], image: Path) -> None:
    """What only other boards need may be missing, names have no case, and included files count."""
    _set_firmware(image, config, *without)
    more = image.with_name("more.txt")
    more.write_text("kernel=u-boot-rpi4.bin\n", encoding="utf-8")
    firmware_run(image, "mcopy", str(more), "::/more.txt")
    report = verify_disk(image, CARD)
    assert not report.findings, render_text(report)


def test_firmware_may_start_the_kernel_itself(tree: Path, tmp_path: Path) -> None:
    """Without extlinux.conf, the system is the one in the firmware's own command line, and is judged all the same."""
    remove(tree, card.EXTLINUX)
    write(tree, card.ACCOUNTS, card.write_accounts(card.account("root", initialHashedPassword="")))
    card.make_card(tree, tmp_path / "card.img", tmp_path)
    place = tmp_path / "cmdline.txt"
    place.write_text(f"console=tty0 init={card.SYSTEM}/init\n", encoding="utf-8")
    firmware_run(tmp_path / "card.img", "mcopy", str(place), "::/cmdline.txt")
    report = verify_disk(tmp_path / "card.img", CARD)
    assert {finding.check for finding in report.findings} == {"sd-access"}
    assert "sd-extlinux" in {each.check for each in report.not_observed}


def test_system_that_is_not_there_leaves_its_checks_unobserved(tree: Path) -> None:
    """Nothing about accounts or networks passes when the system cannot be seen; that it is missing is reported."""
    shutil.rmtree(tree / card.SYSTEM[1:])
    report = verify_directory(tree, CARD)
    assert {"sd-access", "sd-network"} <= {each.check for each in report.not_observed}
    assert {finding.check for finding in report.findings} == {"sd-extlinux", "sd-closure"}


@pytest.mark.parametrize("text", ["", "[", "[]", '{"users": 1}', "[" * 100_000, '{"users": [1, null, {"name": 2}]}'])
def test_list_of_accounts_that_is_none_is_not_passed(text: str, tree: Path) -> None:
    """A list that cannot be understood leaves access unobserved, or nobody who can enter."""
    write(tree, card.ACCOUNTS, text)
    report = verify_directory(tree, CARD)
    assert "sd-access" not in report.passed


@pytest.mark.parametrize(
    "text", ["APPEND\n", "LABEL\n" * 2000, "TIMEOUT " + "0" * 5000 + "\n", "LABEL a\nLINUX " + "../" * 3000]
)
def test_hostile_loader_configuration_is_reported(text: str, tree: Path) -> None:
    """A loader's configuration that makes no sense is a finding and nothing worse."""
    write(tree, card.EXTLINUX, text)
    report = verify_directory(tree, CARD)
    assert "sd-extlinux" in {finding.check for finding in report.findings}


def test_histories_on_a_fresh_card_are_seen(tree: Path) -> None:
    """A card without accounts may have homes: what the builder put there is looked at."""
    write(tree, "/root/.bash_history", "ls\n")
    report = verify_directory(tree, CARD)
    assert {finding.check for finding in report.findings} == {"shell-history"}


def test_machine_id_in_the_loader_is_seen(tree: Path) -> None:
    """U-Boot's command line counts as the kernel's."""
    replace(tree, card.EXTLINUX, "loglevel=7", "systemd.machine_id=0123456789abcdef0123456789abcdef")
    report = verify_directory(tree, CARD)
    assert {finding.check for finding in report.findings} == {"machine-id-cmdline"}
