"""Reading loose values: numbers as text, truths as numbers, and what is neither."""

import pytest

from imagekit.cluster.answer import read_fields, read_flag, read_number, read_rows, read_text, read_words
from imagekit.cluster.failures import ClusterFailed


@pytest.mark.parametrize(
    ("value", "number"),
    [(5, 5), ("1024", 1024), (2.0, 2), (True, 1), (2.5, None), ("", None), ("1e3", None), ("\u0661", None),
     ("9" * 5000, None), (None, None), ([1], None), (float("inf"), None)],
)  # fmt: skip
def test_numbers(value: object, number: int | None) -> None:
    """A whole number is one however it is written; anything else is none, and nothing overflows."""
    assert read_number({"key": value}, "key") == number


def test_texts() -> None:
    """Plain values are text, others and missing ones are empty."""
    fields = {"a": "x", "b": 5, "c": [1], "d": None}
    assert [read_text(fields, key) for key in "abcde"] == ["x", "5", "", "", ""]
    assert read_words({"tags": "a;b,c d"}, "tags") == ("a", "b", "c", "d")
    assert [read_flag({"on": value}, "on") for value in (1, "1", True, 0, "yes", None)] == [True] * 3 + [False] * 3


@pytest.mark.parametrize("answer", [None, 5, "x", [1], {"a": 1}, [None]])
def test_other_shapes(answer: object) -> None:
    """An answer of another shape is an error with a sentence, not a traceback."""
    with pytest.raises(ClusterFailed, match="no list"):
        read_rows(answer, "GET /nodes")
    if not isinstance(answer, dict):
        with pytest.raises(ClusterFailed, match="no object"):
            read_fields(answer, "GET /version")
