"""Reading a TOML file: whatever is wrong with it becomes one clear sentence."""

import os
from pathlib import Path

import pytest

from imagekit.definition.toml_file import LIMIT_BYTES, parse_toml, read_toml
from imagekit.errors import DefinitionInvalid, SettingsInvalid


def _refuse(path: Path) -> str:
    with pytest.raises(DefinitionInvalid) as caught:
        read_toml(path)
    return " ".join([caught.value.message, *caught.value.problems])


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"a = 1\nb = \n", "x.toml:2: not TOML: invalid value in column 5"),
        (b"a = 1\n[b\n", "x.toml:2: not TOML"),
        (b"a = 1\na = 2\n", "x.toml:2: not TOML: cannot overwrite a value"),
        (b'a = 1\nb = """\nnever closed', "x.toml:3: not TOML"),
        (b"a = 1\nb = '\xff'\n", "x.toml:2: not UTF-8"),
        (b"\n" * 3 + "ä".encode("utf-16"), "x.toml:4: not UTF-8"),
        (b"a = " + b"[" * 5000, "x.toml:1: arrays or tables are nested too deeply"),
        (b"a = " + b"9" * 5000, "x.toml:1: Exceeds the limit"),
        (b"#" * (LIMIT_BYTES + 1), "is larger than 1 MiB"),
    ],
)
def test_unreadable_content(tmp_path: Path, data: bytes, said: str) -> None:
    """Syntax errors have line and reason; wrong encoding, depth and size are told as such."""
    path = tmp_path / "x.toml"
    path.write_bytes(data)
    assert said in _refuse(path)


def test_largest_file_is_read(tmp_path: Path) -> None:
    """A file of exactly 1 MiB is still read."""
    path = tmp_path / "x.toml"
    path.write_bytes(b"#" * (LIMIT_BYTES - 6) + b"\na = 1")
    assert read_toml(path).values == {"a": 1}


def test_unreadable_file(tmp_path: Path) -> None:
    """A directory, a named pipe, a dangling link and a missing file are refused and never waited for."""
    (tmp_path / "directory").mkdir()
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to("nowhere")
    for name in ("directory", "pipe", "link", "missing"):
        assert "is not a regular file" in _refuse(tmp_path / name)


def test_error_class_is_the_callers(tmp_path: Path) -> None:
    """Settings have their own error, from the same reader."""
    with pytest.raises(SettingsInvalid):
        parse_toml("a =", "settings.toml", SettingsInvalid)
    with pytest.raises(SettingsInvalid):
        read_toml(tmp_path / "missing", SettingsInvalid)


def test_line_ends_and_byte_order_mark(tmp_path: Path) -> None:
    """Files of other editors, with a byte order mark and CR LF, are read with the right lines."""
    path = tmp_path / "x.toml"
    path.write_bytes(b"\xef\xbb\xbfa = 1\r\n\r\n[b]\r\nc = '''\r\n'''\r\nd = 2\r\n")
    file = read_toml(path)
    assert file.values == {"a": 1, "b": {"c": "", "d": 2}}
    assert (file.find_line(("a",)), file.find_line(("b",)), file.find_line(("b", "d"))) == (1, 3, 6)


def test_missing_key_has_line_of_its_table() -> None:
    """What is not in the file is told at the nearest table around it, at last at line 1."""
    file = parse_toml("\n[a]\n[a.b]\n", "x.toml")
    assert [file.find_line(path) for path in ((), ("z",), ("a", "z"), ("a", "b", "c", 0))] == [1, 1, 2, 3]
