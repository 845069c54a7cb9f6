"""Which tag is newer: the same shape, larger numbers, nothing else."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imagekit.build.update.tags import choose_tag


@pytest.mark.parametrize(
    ("current", "tags", "chosen"),
    [
        ("2025.08.0", ["2025.10.1", "2025.09.9", "2024.12.0", "latest", "nightly"], "2025.10.1"),
        ("2025.08.0", ["2025.10.0-beta", "v2026.01.0", "2026.01", "2025.08.0"], "2025.08.0"),
        ("2025.08.0", ["5.8.1", "v6.0.0"], "2025.08.0"),
        ("1.22.0", ["1.22.0-1", "1.3.0", "1.23.0", "1.23.1-rc1", "1.9.9"], "1.23.0"),
        ("v5.8-alpine", ["v6.0-alpine", "v7.0", "v6.1-debian"], "v6.0-alpine"),
        ("9", ["10", "20240101", "11-rc1"], "10"),
        ("16", ["20240101", "2025", "15"], "16"),
        ("latest", ["1.0", "2.0"], "latest"),
        ("1.0", [], "1.0"),
        ("1.0", ["1.99999999999999999999999999999"], "1.0"),
    ],
)
def test_newest_of_the_same_shape(current: str, tags: list[str], chosen: str) -> None:
    """Calendar and semantic versions grow; pre-releases, other flavours, dates and moving tags are not taken."""
    assert choose_tag(current, tags) == chosen


@given(st.lists(st.from_regex(r"v?[0-9]{1,4}\.[0-9]{1,2}(-rc[0-9])?", fullmatch=True), min_size=1))
def test_order_of_the_list_is_nothing(tags: list[str]) -> None:
    """Whatever the order, the same numbers are chosen, they are never smaller, and choosing again stays."""
    chosen = choose_tag(tags[0], tags)
    numbers = [int(part) for part in chosen.replace("v", "").replace("-rc", ".").split(".")]
    again = [int(part) for part in choose_tag(tags[0], tags[::-1]).replace("v", "").replace("-rc", ".").split(".")]
    assert again == numbers
    assert numbers >= [int(part) for part in tags[0].replace("v", "").replace("-rc", ".").split(".")]
    assert choose_tag(chosen, [chosen]) == chosen
