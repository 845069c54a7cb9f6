"""Our small initrd, read back by the reader of everybody's initrds."""

import gzip
import random

from imagekit.build.packer.initrd import InitrdFile, pack_initrd
from imagekit.disk.cpio import Member, read_initrd


def _read(archive: bytes) -> list[Member]:
    return list(read_initrd(lambda at, length: archive[at : at + length], lambda _name: 1 << 20))


def test_files_come_back_with_their_bytes_and_modes() -> None:
    """Lengths of every remainder by four come back exact, and directories stand before what is in them."""
    random.seed(5)
    contents = {f"a/b/file{length}": random.randbytes(length) for length in range(9)}
    members = _read(pack_initrd({name: InitrdFile(data, 0o755) for name, data in contents.items()}))
    assert [(member.name, member.mode) for member in members[:2]] == [("a", 0o040755), ("a/b", 0o040755)]
    assert {member.name: member.content for member in members[2:]} == contents
    assert {member.mode for member in members[2:]} == {0o100755}


def test_archive_is_compressed_and_the_same_every_time() -> None:
    """No clock and no name of this machine is in it."""
    files = {"preseed.cfg": InitrdFile(b"d-i x string y\n")}
    assert pack_initrd(files) == pack_initrd(files)
    assert gzip.decompress(pack_initrd(files)).startswith(b"070701")


def test_archive_can_stand_behind_another() -> None:
    """GRUB puts several initrds one after another, with zeros between them; all their names are there."""
    both = pack_initrd({"a": InitrdFile(b"1")}) + bytes(3) + pack_initrd({"b": InitrdFile(b"2")})
    assert [(member.name, member.content) for member in _read(both)] == [("a", b"1"), ("b", b"2")]
