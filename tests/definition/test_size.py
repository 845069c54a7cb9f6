"""Sizes as people write them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imagekit.definition.size import format_size, parse_size


@given(st.integers(0, 10**15 - 1))
def test_size_round_trip(size_bytes: int) -> None:
    """Every size is read back from its own text."""
    assert parse_size(format_size(size_bytes)) == size_bytes


@pytest.mark.parametrize(
    ("text", "size_bytes"), [("0", 0), ("1K", 1024), ("64M", 64 << 20), ("2G", 2 << 30), ("1T", 1 << 40)]
)
def test_suffixes_are_powers_of_1024(text: str, size_bytes: int) -> None:
    """K, M, G and T multiply by powers of 1024, and that is how sizes are printed."""
    assert parse_size(text) == size_bytes
    assert format_size(size_bytes) == text


@pytest.mark.parametrize(
    "text", ["", "G", "2g", "2GB", "2GiB", "-1", "1.5G", " 2G", "2 G", "2G\n", "٢G", "9" * 16, "1e9"]
)
def test_other_text_is_no_size(text: str) -> None:
    """Other units, signs, fractions and blanks are refused, so that no size is guessed."""
    with pytest.raises(ValueError, match="not a size"):
        parse_size(text)
