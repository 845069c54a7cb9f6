"""New checksums in ``imagekit.toml``: nothing else moves, whatever the file looks like."""

import tomllib

import pytest

from imagekit.build.update.project_file import set_checksums
from imagekit.errors import DefinitionInvalid

OLD, NEW = "0" * 64, "1" * 64
TEXT = f"""\
# my project
[images.web]   # the web servers
builder = "packer"

[images.web.packer.iso]
url = "https://mirror.example/current/a.iso"  # moves every month
sha256  =  "{OLD}"  # by hand, 2026-01-02

[images."two".packer]
disk = {{ url = 'https://mirror.example/b.qcow2', sha256 = '{OLD}' }} # inline

images_end = "kept"
"""


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_only_the_checksum_changes(end: str, mark: bytes) -> None:
    """Comments, blanks, quotes' neighbours, line ends and a byte order mark stay as they are."""
    data = mark + TEXT.replace("\n", end).encode()
    edited = set_checksums(data, {("web", "iso"): NEW})
    assert edited == data.replace(OLD.encode(), NEW.encode(), 1)
    both = set_checksums(data, {("web", "iso"): NEW, ("two", "disk"): NEW})
    assert tomllib.loads(both.decode("utf-8-sig"))["images"]["two"]["packer"]["disk"]["sha256"] == NEW
    assert both.count(b"# inline") == 1


def test_dotted_keys() -> None:
    """A checksum in a dotted key is found."""
    data = f'images.web.packer.iso.sha256 = "{OLD}"\n'.encode()
    assert set_checksums(data, {("web", "iso"): NEW}) == data.replace(OLD.encode(), NEW.encode())


@pytest.mark.parametrize(
    ("text", "said"),
    [("x = ", "cannot be edited"), ("[images.web.packer.iso]\nurl = 'x'\n", "no sha256"), ("", "no sha256")],
)
def test_what_cannot_be_edited(text: str, said: str) -> None:
    """A file that is not TOML, or has no such checksum, is left as it is."""
    with pytest.raises(DefinitionInvalid, match=said):
        set_checksums(text.encode(), {("web", "iso"): NEW})
