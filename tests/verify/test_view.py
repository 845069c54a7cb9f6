"""What a view does with a file that is larger than what is read of it."""

import pytest

from imagekit.errors import ImageDamaged
from imagekit.verify.view import CannotSee, View, ViewKind
from tests.fuzz.memory import make_file_tree

VIEW = View(ViewKind.DIRECTORY, make_file_tree({"/etc/a": b"one\ntwo\n", "/etc/exact": b"12345678"}))


def test_end_of_a_long_file_is_not_passed_over() -> None:
    """A file longer than the limit is not judged by its beginning: what follows might be what matters."""
    with pytest.raises(CannotSee, match="/etc/a has 8 bytes, of which 4 would be read"):
        VIEW.text("/etc/a", 4)


def test_absurd_file_is_damage() -> None:
    """A file many times larger than any of its kind fails the image, instead of leaving a check unmade."""
    tree = make_file_tree({"/etc/passwd": b"x" * 4096})
    with pytest.raises(ImageDamaged, match="/etc/passwd has 4096 bytes"):
        View(ViewKind.DIRECTORY, tree).text("/etc/passwd", 16)


def test_beginning_is_read_where_it_is_meant() -> None:
    """Who wants the beginning only says so; a file of exactly the limit is whole."""
    assert VIEW.text("/etc/a", 3, head=True) == "one"
    assert VIEW.text("/etc/exact", 8) == "12345678"
    assert VIEW.text("/etc/none", 8) is None
