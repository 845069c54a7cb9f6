"""Files of templates become syntax with lines, and what is no template ends with a sentence."""

import time

import pytest

from imagekit.build.packer.hcl import (
    MAX_FILE,
    Computed,
    Expression,
    Joined,
    Keyed,
    Listed,
    Literal,
    Reference,
    list_references,
    parse_hcl,
    parse_json,
)
from imagekit.errors import DefinitionInvalid


def read(expression: str) -> Expression:
    """Return an expression as it is parsed."""
    return parse_hcl(f"x = {expression}\n", "t.pkr.hcl").attributes["x"].expression


@pytest.mark.parametrize(
    ("text", "expression"),
    [
        ("1", Literal(1)),
        ("-5", Literal(-5)),
        ("2.5e3", Literal(2500.0)),
        ("true", Literal(True)),
        ("null", Literal(None)),
        ('""', Literal("")),
        (r'"a\n\"b\" \u00e9 $${x} %%{y} {{ .Z }}"', Literal('a\n"b" é ${x} %{y} {{ .Z }}')),
        (r'"\ud800\U00110000"', Literal("\ufffd\ufffd")),
        ("var.x", Reference(("var", "x"))),
        ('var.m["a"].b[0]', Reference(("var", "m", "a", "b", "0"))),
        ('"${var.x}"', Reference(("var", "x"))),
        ('"a-${local.b}-c"', Joined((Literal("a-"), Reference(("local", "b")), Literal("-c")))),
        ('["a", var.b,]', Listed((Literal("a"), Reference(("var", "b"))))),
        ("<<EOT\n  a\n b\nEOT\n", Literal("  a\n b\n")),
        ("<<-EOT\n    a: $${x}\n\n      b\n  EOT\n", Literal("a: ${x}\n\n  b\n")),
        ("<<E\n${var.x}!\nE\n", Joined((Reference(("var", "x")), Literal("!\n")))),
        ("<<E\n${upper(var.x)}\nE\n", Computed((Reference(("var", "x")),))),
        ("upper(var.x)", Computed((Reference(("upper",)), Reference(("var", "x"))))),
        ('!var.x', Computed((Reference(("var", "x")),))),
    ],
)  # fmt: skip
def test_expression_is_read(text: str, expression: Expression) -> None:
    """Literals, names, strings with names in them, lists and heredocs are understood; more is marked as computed."""
    assert read(text) == expression


def test_object_has_the_lines_of_its_keys() -> None:
    """An object keeps keys of every form, with lines."""
    found = read('{\n  a = 1\n  "b" : 2,\n  (var.c) = 3\n}')
    assert isinstance(found, Keyed)
    assert [(key, line) for key, _, line in found.items] == [
        (Reference(("a",)), 2),
        (Literal("b"), 3),
        (Reference(("var", "c")), 4),
    ]


def test_conditions_and_loops_keep_their_names() -> None:
    """Everything that an expression mentions is found, whatever only Packer can compute of it."""
    text = '[for a in var.list : var.b == "" ? local.c : "${d(var.e)}"]'
    names = {".".join(reference.path) for reference in list_references(read(text))}
    assert {"var.list", "var.b", "local.c", "var.e"} <= names


def test_blocks_have_labels_and_lines() -> None:
    """A block has its kind, labels, line, settings and inner blocks."""
    (block,) = parse_hcl('# a comment\nsource "qemu" "x" {\n  a = 1\n  b {}\n}\n', "t").blocks
    assert (block.kind, block.labels, block.line) == ("source", ("qemu", "x"), 2)
    assert block.body.attributes["a"].line == 3
    assert [inner.kind for inner in block.body.blocks] == ["b"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a {\n", "t.pkr.hcl:2: does not parse: the file ends inside a block, a string or a list"),
        ("a = 1\nb = = 2\n", "t.pkr.hcl:2: does not parse at column 5: the line is not HCL"),
        ("a = 1\na = 2\n", "t.pkr.hcl:2: a is set twice in one block"),
        ('a = "x" b = "y"\n', "t.pkr.hcl:1: two settings stand on one line; each needs its own"),
        ("x = " + "9" * 5000 + "\n", "t.pkr.hcl:1: is a number that nothing can hold"),
        ("x = " + "[" * 5000 + "]" * 5000 + "\n", "t.pkr.hcl:1: is nested too deeply"),
        ("a {\n" * 300 + "}\n" * 300, "is nested too deeply"),
        ("x = <<E\n" + "\n" * 20000, "t.pkr.hcl:1: has more than 1000 blank characters in a row"),
        ("x = 1\n" * (MAX_FILE // 6 + 1), "t.pkr.hcl:1: is larger than 128 KiB"),
        ("x = <<E\n" + "$${" * 40000 + "\nF\n", "does not parse"),
        ("\0", "does not parse"),
    ],
)
def test_what_is_no_template_ends_with_a_sentence(text: str, said: str) -> None:
    """A file that does not parse, or that is made to keep the reader busy, is refused soon, with its line."""
    start = time.process_time()
    with pytest.raises(DefinitionInvalid) as caught:
        parse_hcl(text, "t.pkr.hcl")
    assert said in caught.value.problems[0]
    assert time.process_time() - start < 10


@pytest.mark.parametrize("text", ["x = <<E\n" + "$${" * 40000 + "\nE\n", 'x = "' + "a$" * 40000 + '"\n'])
def test_long_text_is_read_soon(text: str) -> None:
    """Text full of what might begin an expression takes no longer than other text."""
    start = time.process_time()
    assert isinstance(parse_hcl(text, "t").attributes["x"].expression, Literal)
    assert time.process_time() - start < 10


def test_message_has_no_text_of_the_file() -> None:
    """What is told about a file that does not parse quotes nothing of it: it may hold a secret."""
    with pytest.raises(DefinitionInvalid) as caught:
        parse_hcl('token = "canary\n', "t.pkr.hcl")
    assert "canary" not in f"{caught.value} {caught.value.problems}"


def test_json_is_read_with_lines() -> None:
    """A JSON template has lines too, and names in its strings."""
    found = parse_json('\n{\n  "a": [1, "x-${var.y}"],\n  "b": {"//": "\\u00e9\\/"}\n}', "t.pkr.json")
    assert [(key, line) for key, _, line in found.items] == [(Literal("a"), 3), (Literal("b"), 4)]
    assert found.items[0][1] == Listed((Literal(1), Joined((Literal("x-"), Reference(("var", "y"))))))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{\n"a": }', "t.pkr.json:2: is not JSON"),
        ("[]", "t.pkr.json:1: must hold a JSON object"),
        ('{"a": ' * 5000 + "1" + "}" * 5000, "is nested too deeply"),
        ('{"a": ' + "9" * 5000 + "}", "number that nothing can hold"),
    ],
)
def test_what_is_no_json_ends_with_a_sentence(text: str, said: str) -> None:
    """A JSON file that cannot be used is refused with its line."""
    with pytest.raises(DefinitionInvalid) as caught:
        parse_json(text, "t.pkr.json")
    assert said in caught.value.problems[0]
