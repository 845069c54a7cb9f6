"""One file of a Packer template, HCL or JSON, as syntax: bodies of attributes and blocks, and expressions.

python-hcl2 parses (grammar: HCL's own specification, hashicorp/hcl ``hclsyntax/spec.md``); what it gives is read from
its raw parse tree, which keeps the line of every token. A JSON template is parsed as the HCL expression that it is as
well, so that both have lines. A template may be a stranger's: size, nesting and runs of white space are bounded, since
the parser's pattern for heredocs takes time with the square of such a run.
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

from imagekit.errors import DefinitionInvalid

if TYPE_CHECKING:
    from lark import Token, Tree

_Node: TypeAlias = Any  # a tree or a token: a parse tree mixes them, and its grammar says where which one is
MAX_FILE = 128 * 1024
_MAX_DEPTH = 200
_MAX_BLANKS = 1000
_MAX_DIGITS = 100
_BLANK_RUN = re.compile(rf"\s{{{_MAX_BLANKS}}}")
_HEREDOC = re.compile(r"<<(-?)([^\r\n]+)\r?\n(.*?)[ \t]*\2\r?\n\Z", re.DOTALL)
_EMBEDDED = re.compile(r"\$\{\s*((?:[A-Za-z_][\w-]*)(?:\.[\w-]+)*)\s*\}")
_PIECES = re.compile(r"(\$\$\{|\$\{\s*[A-Za-z_][\w-]*(?:\.[\w-]+)*\s*\})")
_NAMED = re.compile(r"\b((?:var|local)(?:\.[A-Za-z_][\w-]*))")
_ESCAPE = re.compile(r"\\(?:u([0-9A-Fa-f]{4})|U([0-9A-Fa-f]{8})|(.))", re.DOTALL)
_CONTROL = {"n": "\n", "r": "\r", "t": "\t", "b": "\b", "f": "\f"}


@dataclass(frozen=True, slots=True)
class Literal:
    """A value that stands there as it is."""

    value: str | int | float | bool | None


@dataclass(frozen=True, slots=True)
class Reference:
    """A name such as ``var.x`` or ``local.y.z``, in its parts."""

    path: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Joined:
    """A string with ``${…}`` in it."""

    parts: tuple["Expression", ...]


@dataclass(frozen=True, slots=True)
class Listed:
    """A list."""

    items: tuple["Expression", ...]


@dataclass(frozen=True, slots=True)
class Keyed:
    """An object: keys, values and the lines of the keys."""

    items: tuple[tuple["Expression", "Expression", int], ...]


@dataclass(frozen=True, slots=True)
class Computed:
    """What only Packer can compute (functions, conditions, loops), with the expressions in it."""

    parts: tuple["Expression", ...]


Expression: TypeAlias = Literal | Reference | Joined | Listed | Keyed | Computed


@dataclass(frozen=True, slots=True)
class Attribute:
    """``name = expression`` at a line."""

    name: str
    expression: Expression
    line: int


@dataclass(frozen=True, slots=True)
class BlockSyntax:
    """``kind "label" … { body }`` at a line."""

    kind: str
    labels: tuple[str, ...]
    body: "Body"
    line: int


@dataclass(frozen=True, slots=True)
class Body:
    """What stands between two braces, or in a whole file."""

    attributes: Mapping[str, Attribute] = field(default_factory=dict)
    blocks: tuple[BlockSyntax, ...] = ()


def parse_hcl(text: str, file: str) -> Body:
    """Return the body of an HCL file; raises :class:`DefinitionInvalid` with ``file`` and the line of what is wrong."""
    return _Reader(file).read_body(_parse(text, file).children[0], 0)


def parse_json(text: str, file: str) -> Keyed:
    """Return a JSON file as an expression with the lines of its keys; strings in it are templates, as Packer has it.

    Raises :class:`DefinitionInvalid` with ``file`` and the line of what is wrong.
    """
    try:
        value = json.loads(text)
    except json.JSONDecodeError as problem:
        raise _broken(file, problem.lineno, f"is not JSON: {problem.msg}") from None
    except RecursionError:
        raise _broken(file, 1, "is nested too deeply") from None
    except ValueError:  # Python refuses to read numbers of thousands of digits
        raise _broken(file, 1, "has a number that nothing can hold") from None
    if not isinstance(value, dict):
        raise _broken(file, 1, "must hold a JSON object")
    start = len(text) - len(text.lstrip())
    body = _Reader(file).read_body(_parse(f"{text[:start]}json = {text[start:].rstrip()}", file).children[0], 0)
    expression = body.attributes["json"].expression
    if not isinstance(expression, Keyed):
        raise _broken(file, 1, "must hold a JSON object")
    return expression


def list_references(expression: Expression) -> Iterator[Reference]:
    """Yield every name that an expression mentions."""
    match expression:
        case Reference():
            yield expression
        case Joined(parts) | Computed(parts) | Listed(parts):
            for part in parts:
                yield from list_references(part)
        case Keyed(items):
            for key, value, _ in items:
                if not isinstance(key, Reference):  # a bare key is its own name
                    yield from list_references(key)
                yield from list_references(value)
        case Literal():
            pass


def _broken(file: str, line: int, sentence: str) -> DefinitionInvalid:
    return DefinitionInvalid(f"{file} cannot be used as a template", problems=[f"{file}:{line}: {sentence}"])


def _parse(text: str, file: str) -> "Tree[Token]":
    from hcl2.api import parses_to_tree
    from lark.exceptions import LarkError

    if len(text) > MAX_FILE:
        raise _broken(file, 1, f"is larger than {MAX_FILE // 1024} KiB")
    if found := _BLANK_RUN.search(text):
        line = text.count("\n", 0, found.start()) + 1
        raise _broken(file, line, f"has more than {_MAX_BLANKS} blank characters in a row")
    try:
        return parses_to_tree(text.removeprefix("\ufeff"))
    except LarkError as problem:
        at: object = getattr(problem, "line", None)
        last = text.count("\n") + 1
        raise _broken(file, at if isinstance(at, int) and at > 0 else last, _name_problem(problem)) from None


def _name_problem(problem: Exception) -> str:
    """Return in one sentence what the parser met; it quotes nothing, since the text may be a secret."""
    token = getattr(problem, "token", None)
    kind = getattr(token, "type", "")
    if kind == "$END":
        return "does not parse: the file ends inside a block, a string or a list"
    column = getattr(problem, "column", None)
    where = f" at column {column}" if isinstance(column, int) and column > 0 else ""
    return f"does not parse{where}: the line is not HCL"


class _Reader:
    """Walks a parse tree of python-hcl2; the names of nodes are those of its grammar, ``hcl2/hcl2.lark``."""

    def __init__(self, file: str) -> None:
        self._file = file
        self._readers: dict[str, Callable[[Tree[Token], int], Expression]] = {
            "expr_term": self._read_term,
            "string": self._read_string,
            "heredoc_template": self._read_heredoc,
            "heredoc_template_trim": self._read_heredoc,
            "tuple": self._read_tuple,
            "object": self._read_object,
            "get_attr_expr_term": self._read_attribute_access,
            "index_expr_term": self._read_index,
            "unary_op": self._read_unary,
        }

    def read_body(self, tree: _Node, depth: int) -> Body:
        attributes: dict[str, Attribute] = {}
        blocks: list[BlockSyntax] = []
        self._check_depth(tree, depth)
        line_before = 0
        for child in tree.children:
            if child.data in _BLANKS:
                continue
            if self._line(child) == line_before:  # python-hcl2 lets it pass, Packer does not
                raise _broken(self._file, self._line(child), "two settings stand on one line; each needs its own")
            line_before = self._line(child)
            if child.data == "attribute":
                name = str(child.children[0].children[0])
                line = self._line(child)
                if name in attributes:
                    raise _broken(self._file, line, f"{name} is set twice in one block")
                attributes[name] = Attribute(name, self.read_expression(child.children[-1], depth + 1), line)
            elif child.data == "block":
                names = [self._read_label(part) for part in child.children if getattr(part, "data", "") in _LABELS]
                body = next(part for part in child.children if getattr(part, "data", "") == "body")
                blocks.append(
                    BlockSyntax(names[0], tuple(names[1:]), self.read_body(body, depth + 1), self._line(child))
                )
        return Body(attributes, tuple(blocks))

    def read_expression(self, tree: _Node, depth: int) -> Expression:
        self._check_depth(tree, depth)
        reader = self._readers.get(tree.data)
        if reader is not None:
            return reader(tree, depth + 1)
        match tree.data:
            case "int_lit":
                return self._read_number(tree)
            case "float_lit":
                return Literal(float(tree.children[0]))
            case "literal_value":
                return Literal({"true": True, "false": False, "null": None}[str(tree.children[0])])
            case "identifier" | "keyword":
                return Reference((str(tree.children[0]),))
        return Computed(tuple(self._read_parts(tree, depth + 1)))

    def _read_number(self, tree: _Node) -> Expression:
        digits = str(tree.children[0])
        if len(digits) > _MAX_DIGITS:
            raise _broken(self._file, self._line(tree), "is a number that nothing can hold")
        return Literal(int(digits))

    def _read_parts(self, tree: _Node, depth: int) -> Iterator[Expression]:
        """Yield the expressions below a node that is not understood itself."""
        self._check_depth(tree, depth)
        for child in tree.children:
            if not hasattr(child, "data"):
                continue
            if child.data in ("new_line_or_comment", "binary_operator"):
                continue
            if child.data in self._readers or child.data == "identifier":
                yield self.read_expression(child, depth + 1)
            else:
                yield from self._read_parts(child, depth + 1)

    def _read_term(self, tree: _Node, depth: int) -> Expression:
        inner = [child for child in tree.children if getattr(child, "data", "new_line_or_comment") not in _BLANKS]
        return self.read_expression(inner[0], depth)

    def _read_string(self, tree: _Node, depth: int) -> Expression:
        parts: list[Expression] = []
        for child in tree.children:
            if getattr(child, "data", "") != "string_part":
                continue
            inner = child.children[0]
            if not hasattr(inner, "data"):
                parts.append(Literal(_unescape(str(inner), inner.type)))
            elif inner.data == "interpolation":
                parts.append(self.read_expression(inner.children[1], depth + 1))
            else:
                parts.append(Computed(tuple(self._read_parts(inner, depth + 1))))
        return _join(parts)

    def _read_heredoc(self, tree: _Node, _depth: int) -> Expression:
        found = _HEREDOC.match(str(tree.children[0]))
        if found is None:
            return Computed(())
        text = found[3]
        if found[1]:
            lines = text.splitlines(keepends=True)
            margin = min((len(line) - len(line.lstrip(" \t")) for line in lines if line.strip()), default=0)
            text = "".join(line[margin:] if line.strip() else line.lstrip(" \t") for line in lines)
        return _read_embedded(text)

    def _read_tuple(self, tree: _Node, depth: int) -> Expression:
        inner = [child for child in tree.children if getattr(child, "data", "new_line_or_comment") not in _BLANKS]
        return Listed(tuple(self.read_expression(child, depth + 1) for child in inner))

    def _read_object(self, tree: _Node, depth: int) -> Expression:
        items = []
        for child in tree.children:
            if getattr(child, "data", "") == "object_elem":
                key, _, value = child.children
                named = self.read_expression(key.children[0], depth + 1)
                items.append((named, self.read_expression(value, depth + 1), self._line(child)))
        return Keyed(tuple(items))

    def _read_attribute_access(self, tree: _Node, depth: int) -> Expression:
        inner = self.read_expression(tree.children[0], depth + 1)
        name = str(tree.children[1].children[1].children[0])
        return Reference((*inner.path, name)) if isinstance(inner, Reference) else Computed((inner,))

    def _read_index(self, tree: _Node, depth: int) -> Expression:
        inner = self.read_expression(tree.children[0], depth + 1)
        index = list(self._read_parts(tree.children[1], depth + 1))
        if isinstance(inner, Reference) and len(index) == 1 and isinstance(index[0], Literal):
            return Reference((*inner.path, str(index[0].value)))
        return Computed((inner, *index))

    def _read_unary(self, tree: _Node, depth: int) -> Expression:
        operand = self.read_expression(tree.children[1], depth + 1)
        match str(tree.children[0]), operand:
            case "-", Literal(int() | float() as number) if not isinstance(number, bool):
                return Literal(-number)
        return Computed((operand,))

    def _read_label(self, tree: _Node) -> str:
        if tree.data == "string":
            return "".join(str(part.children[0]) for part in tree.children if hasattr(part, "data"))
        return str(tree.children[0])

    def _line(self, tree: _Node) -> int:
        return int(tree.meta.line)

    def _check_depth(self, tree: _Node, depth: int) -> None:
        if depth > _MAX_DEPTH:
            raise _broken(self._file, getattr(tree.meta, "line", 1), "is nested too deeply")


_LABELS = frozenset({"identifier", "keyword", "literal_value", "string"})
_BLANKS = frozenset({"new_line_or_comment"})


def _unescape(text: str, kind: str) -> str:
    if kind in ("ESCAPED_INTERPOLATION", "ESCAPED_DIRECTIVE"):
        return text[1:]
    return _ESCAPE.sub(_replace_escape, text) if "\\" in text else text


def _replace_escape(found: re.Match[str]) -> str:
    if code := found[1] or found[2]:
        number = int(code, 16)
        return "\ufffd" if number > 0x10FFFF or 0xD800 <= number < 0xE000 else chr(number)
    return _CONTROL.get(found[3], found[3])


def _join(parts: list[Expression]) -> Expression:
    if not parts:
        return Literal("")
    if all(isinstance(part, Literal) for part in parts) and not (len(parts) == 1 and not _is_text(parts[0])):
        return Literal("".join(str(part.value) for part in parts if isinstance(part, Literal)))
    return parts[0] if len(parts) == 1 else Joined(tuple(parts))


def _is_text(part: Expression) -> bool:
    return isinstance(part, Literal) and isinstance(part.value, str)


def _read_embedded(text: str) -> Expression:
    """Return a heredoc's text as an expression: plain names in ``${…}`` are understood, more is for Packer."""
    without = text.replace("$${", "").replace("%%{", "")
    plain = _EMBEDDED.sub("", without)
    if "${" in plain or "%{" in plain:
        return Computed(tuple(Reference(tuple(name.split("."))) for name in _NAMED.findall(without)))
    parts: list[Expression] = []
    for piece in _PIECES.split(text):
        found = _EMBEDDED.fullmatch(piece)
        if found:
            parts.append(Reference(tuple(found[1].split("."))))
        elif piece:
            parts.append(Literal(piece.replace("$${", "${").replace("%%{", "%{")))
    return _join(parts)
