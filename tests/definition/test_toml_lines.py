"""The line scanner: every key of every valid document has its line."""

import json
import tomllib
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imagekit.definition.toml_lines import KeyPath, format_key, scan_lines

_DOCUMENT = (
    r'''# a comment with [brackets] and a = 1
title = "a # b"
"quoted key" . 'an.other' = 1
a.b.c = [1, 2, # two
  [3, "]"],
  """x
]""",
]
long = """ \""" # not a comment
[not.a.table]
more = 1""""
raw = \
'''.replace("\\\n", "")
    + """'''
[[neither]]
'''''
point = { x = 1, y = { "z.z" = '}' }, w = [ { v = 1 } ] }
[images.template]
size = "2G"   # why
when = 1979-05-27 07:32:00
  [ images . "x.y" ]
  esp=0
[[images.template.files]]
path = "/a"
[[images.template.files]]
path = "/b"
[images.template.files.inner]
deep = true
[[images.template.files.more]]
deeper = 1
"""
)


def test_document_has_these_lines() -> None:
    """Dotted, quoted and bare keys, inline tables, arrays and long strings all have the line that they begin on."""
    assert tomllib.loads(_DOCUMENT)["long"].endswith('more = 1"')
    lines = scan_lines(_DOCUMENT)
    expected: dict[KeyPath, int] = {
        ("title",): 2,
        ("quoted key",): 3,
        ("quoted key", "an.other"): 3,
        ("a", "b", "c"): 4,
        ("a", "b", "c", 1): 4,
        ("a", "b", "c", 2): 5,
        ("a", "b", "c", 2, 1): 5,
        ("a", "b", "c", 3): 6,
        ("long",): 9,
        ("raw",): 12,
        ("point",): 15,
        ("point", "y", "z.z"): 15,
        ("point", "w", 0, "v"): 15,
        ("images", "template"): 16,
        ("images", "template", "size"): 17,
        ("images", "template", "when"): 18,
        ("images", "x.y", "esp"): 20,
        ("images", "template", "files"): 21,
        ("images", "template", "files", 0, "path"): 22,
        ("images", "template", "files", 1): 23,
        ("images", "template", "files", 1, "path"): 24,
        ("images", "template", "files", 1, "inner", "deep"): 26,
        ("images", "template", "files", 1, "more", 0, "deeper"): 28,
    }
    assert {path: lines.get(path) for path in expected} == expected
    assert set(lines) == set(_walk(tomllib.loads(_DOCUMENT)))


def _walk(value: object, path: KeyPath = ()) -> Iterator[KeyPath]:
    """Yield the path of everything in a parsed document."""
    members: Any = ()
    if isinstance(value, dict):
        members = value.items()
    elif isinstance(value, list):
        members = enumerate(value)
    for part, inner in members:
        yield (*path, part)
        yield from _walk(inner, (*path, part))


_texts = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), max_size=8)
_keys = st.one_of(st.from_regex(r"[A-Za-z0-9_-]{1,5}", fullmatch=True), _texts.map(lambda key: json.dumps(key)))
_scalars = st.one_of(
    st.integers(-(2**63), 2**63 - 1).map(str),
    st.sampled_from(["true", "1979-05-27 07:32:00", "1e5", "inf", "'''\n]\n''''", '"""\n# "" \\"""\n"""""']),
    _texts.map(lambda text: json.dumps(text)),
    _texts.filter(lambda text: "'" not in text).map(lambda text: f"'{text}'"),
)
_blanks = st.sampled_from(["", " ", "\n", " # ] comment }\n", "\n\n\t"])


@st.composite
def _arrays(draw: st.DrawFn, inner: st.SearchStrategy[str]) -> str:
    items = draw(st.lists(st.tuples(_blanks, inner, _blanks), max_size=3))
    return "[" + ",".join("".join(item) for item in items) + draw(_blanks) + "]"


def _tables(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    pairs = st.lists(st.tuples(_keys, inner), max_size=3, unique_by=lambda pair: pair[0])
    return pairs.map(lambda found: "{" + ", ".join(f"{key} = {value}" for key, value in found) + "}")


_values = st.recursive(_scalars, lambda inner: _arrays(inner) | _tables(inner), max_leaves=6)
_heads = st.tuples(st.lists(_keys, min_size=1, max_size=3).map(" . ".join), st.sampled_from(["[%s]", "[[%s]]"]))
_lines = st.one_of(
    st.tuples(st.lists(_keys, min_size=1, max_size=2).map(".".join), _values).map(" = ".join),
    _heads.map(lambda head: head[1] % head[0]),
    st.just("# [comment]"),
)


@given(st.lists(_lines, max_size=6).map("\n".join))
def test_every_key_of_any_document_has_line(text: str) -> None:
    """The scanner finds exactly the keys and elements that tomllib finds, each on a line of the text."""
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError:  # two lines that define the same key
        return
    lines = scan_lines(text)
    assert set(lines) == set(_walk(document))
    assert all(1 <= line <= text.count("\n") + 1 for line in lines.values())


@given(st.text(max_size=60))
def test_scanner_ends_on_any_text(text: str) -> None:
    """Text that is not TOML at all cannot hang the scanner; a newer TOML than it knows costs only lines."""
    try:
        lines = scan_lines(text)
    except ValueError:
        return
    assert all(line >= 1 for line in lines.values())


@pytest.mark.parametrize(
    ("path", "text"),
    [
        (("images", "template", "files", 0, "path"), "images.template.files[0].path"),
        (("images", "x.y"), "images.'x.y'"),
        (("images", "a\nb"), r"images.'a\nb'"),
        ((), ""),
    ],
)
def test_format_key(path: KeyPath, text: str) -> None:
    """A path prints on one line, as it would be written in TOML."""
    assert format_key(path) == text
