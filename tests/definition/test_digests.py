"""Digests of what is beside a definition: the same wherever it is, another for every change."""

from collections.abc import Callable
from pathlib import Path

import pytest

from imagekit.definition import digests
from imagekit.definition.digests import digest_directory, digest_file
from imagekit.errors import DefinitionInvalid


def _make(directory: Path) -> Path:
    (directory / "http").mkdir(parents=True)
    (directory / "build.pkr.hcl").write_text("build {}\n")
    (directory / "http" / "user-data").write_text("#cloud-config\n")
    (directory / "link").symlink_to("build.pkr.hcl")
    return directory


def _rename(directory: Path) -> None:
    (directory / "build.pkr.hcl").rename(directory / "other.pkr.hcl")


def _move_end_of_name(directory: Path) -> None:
    (directory / "http" / "user-data").rename(directory / "httpuser-data")


def _retarget(directory: Path) -> None:
    (directory / "link").unlink()
    (directory / "link").symlink_to("http/user-data")


@pytest.mark.parametrize(
    "change",
    [
        lambda directory: (directory / "build.pkr.hcl").write_text("build { }\n"),
        lambda directory: (directory / "http" / "more").touch(),
        lambda directory: (directory / "http" / "user-data").unlink(),
        _rename,
        _move_end_of_name,
        _retarget,
    ],
)
def test_every_change_counts(tmp_path: Path, change: Callable[[Path], object]) -> None:
    """Bytes, names and link targets are all in the digest."""
    one, two = _make(tmp_path / "one"), _make(tmp_path / "two")
    assert digest_directory(one) == digest_directory(two)
    change(two)
    assert digest_directory(one) != digest_directory(two)


def test_what_does_not_count(tmp_path: Path) -> None:
    """History, downloads and empty directories say nothing about what a template does."""
    before = digest_directory(_make(tmp_path / "one"))
    for name in (".git/HEAD", "packer_cache/x.iso", "http/.git/HEAD"):
        (tmp_path / "one" / name).parent.mkdir()
        (tmp_path / "one" / name).write_text("x")
    (tmp_path / "one" / "empty").mkdir()
    assert digest_directory(tmp_path / "one") == before


def test_links_are_not_followed(tmp_path: Path) -> None:
    """A link to the directory around it, or to nothing, is a name and a target, not a way to walk."""
    one = _make(tmp_path / "one")
    (one / "loop").symlink_to(".", target_is_directory=True)
    (one / "dangling").symlink_to("nowhere")
    assert len(digest_directory(one)) == 64


def test_limits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An output directory among the templates is refused, not read for minutes."""
    one = _make(tmp_path / "one")
    with (one / "disk.qcow2").open("wb") as file:
        file.truncate(digests.MOST_BYTES + 1)
    with pytest.raises(DefinitionInvalid, match="holds more than 64 MiB") as caught:
        digest_directory(one)
    assert "outside of the template's directory" in (caught.value.hint or "")
    monkeypatch.setattr(digests, "MOST_FILES", 3)
    with pytest.raises(DefinitionInvalid, match="holds more than 3 files"):
        digest_directory(one)


def test_what_cannot_be_read(tmp_path: Path) -> None:
    """A named pipe is refused at once, and what is gone is named."""
    import os

    one = _make(tmp_path / "one")
    os.mkfifo(one / "pipe")
    with pytest.raises(DefinitionInvalid, match="pipe is neither a file nor a directory"):
        digest_directory(one)
    with pytest.raises(DefinitionInvalid, match="absent cannot be read: No such file"):
        digest_directory(tmp_path / "absent")
    with pytest.raises(DefinitionInvalid, match="absent cannot be read: No such file"):
        digest_file(tmp_path / "absent")
