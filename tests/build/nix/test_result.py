"""What was built, brought here: whole or not at all, and described by what is on it."""

import gzip
import hashlib
import os
from pathlib import Path

import pytest

from imagekit.build.nix.result import describe_disk, fetch_image, read_closure, unpack_image
from imagekit.definition import make_sd_image
from imagekit.disk.containers.raw import NotADisk
from imagekit.errors import HostFailed, ImageDamaged, VerificationFailed
from imagekit.host.here import ThisMachine
from imagekit.image import Architecture, Firmware, Package
from imagekit.progress import Event, silent
from tests.verify.clean_card import make_card, make_card_tree


@pytest.fixture(scope="module")
def card(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A card as NixOS makes one, unpacked; do not change it."""
    work = tmp_path_factory.mktemp("card")
    make_card(make_card_tree(work / "tree"), work / "card.img", work)
    return work / "card.img"


class _Liar(ThisMachine):
    """A machine that has computed another digest than its file has."""

    def digest_file(self, path: str) -> str:
        return "0" * 64


def test_image_of_this_machine_stays_where_it_is(tmp_path: Path) -> None:
    """A file of this machine's own store is neither copied nor touched; its digest comes with it."""
    image = tmp_path / "card.img.zst"
    image.write_bytes(b"content")
    heard: list[Event] = []
    found, digest = fetch_image(ThisMachine(), str(image), 7, tmp_path / "part", heard.append)
    assert (found, digest) == (image, hashlib.sha256(b"content").hexdigest())
    assert not (tmp_path / "part").exists()
    assert heard[-1].done == heard[-1].total == 7


def test_image_that_changed_on_its_way_is_refused(tmp_path: Path) -> None:
    """Two digests that differ are an error, and what arrived is not continued by the next run."""
    image, part = tmp_path / "card.img.zst", tmp_path / "part"
    image.write_bytes(b"content")
    part.write_bytes(b"con")
    with pytest.raises(HostFailed, match="arrived damaged"):
        fetch_image(_Liar(), str(image), 7, part, silent)
    assert not part.exists()


def test_packed_image_becomes_a_sparse_disk(card: Path, tmp_path: Path) -> None:
    """What was packed is unpacked with its holes, and what was not is copied; the source stays as it is."""
    packed = tmp_path / "card.img.gz"
    packed.write_bytes(gzip.compress(card.read_bytes(), mtime=0))
    unpack_image(packed, tmp_path / "one.raw", silent)
    unpack_image(card, tmp_path / "two.raw", silent)
    assert (tmp_path / "one.raw").read_bytes() == card.read_bytes() == (tmp_path / "two.raw").read_bytes()
    status = (tmp_path / "one.raw").stat()
    assert status.st_blocks * 512 < status.st_size
    described = describe_disk(make_sd_image("pihole"), tmp_path / "one.raw", silent)
    assert described.digest.hex == hashlib.sha256(card.read_bytes()).hexdigest()
    assert (described.architecture, described.firmware) == (Architecture.ARM64, Firmware.U_BOOT)


def test_image_that_is_cut_short_leaves_nothing(card: Path, tmp_path: Path) -> None:
    """A packed image without its end is damage, and no half disk stays."""
    packed = tmp_path / "card.img.gz"
    packed.write_bytes(gzip.compress(card.read_bytes(), mtime=0)[:-100])
    with pytest.raises(ImageDamaged, match="cut short"):
        unpack_image(packed, tmp_path / "disk.raw", silent)
    assert not (tmp_path / "disk.raw").exists()


def test_other_formats_are_no_card(tmp_path: Path) -> None:
    """A disk of another format is refused by its kind."""
    image = tmp_path / "card.img"
    image.write_bytes(b"QFI\xfb\0\0\0\3" + bytes(1 << 20))
    with pytest.raises(NotADisk, match="qcow2"):
        unpack_image(image, tmp_path / "disk.raw", silent)


def test_closure_is_what_the_card_has(card: Path, tmp_path: Path) -> None:
    """Packages and store paths come from the registration on the card; a disk without one is told."""
    packages, closure = read_closure(card)
    assert Package("openssl", "3.5.1", "") in packages
    assert all(path.path.startswith("/nix/store/") and path.size_bytes == 4096 for path in closure)
    assert len(closure) > len(packages)
    empty = tmp_path / "empty.raw"
    with empty.open("wb") as file:
        os.ftruncate(file.fileno(), 8 << 20)
    with pytest.raises(VerificationFailed):
        read_closure(empty)
