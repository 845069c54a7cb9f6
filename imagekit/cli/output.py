"""How results look: JSON as one document, tables for people, and nothing that could drive the reader's terminal."""

import json
import re
from collections.abc import Mapping, Sequence

import click

from imagekit.errors import ImagekitError

SCHEMA_VERSION = 1
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069]")


def escape_control(text: str) -> str:
    """Return ``text`` with control and direction characters written out: names in an image may hold escapes.

    Line ends too: a value that brings its own lines could pretend to be a row of ours.
    """
    return _CONTROL.sub(lambda match: ascii(match.group())[1:-1], text)


def print_json(document: Mapping[str, object]) -> None:
    """Print one JSON document with its ``schema_version`` first; in ASCII, so that no locale and no byte breaks it."""
    click.echo(json.dumps({"schema_version": SCHEMA_VERSION, **document}, indent=2, default=str))


def print_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print rows in columns as wide as their widest cell; nothing at all without rows."""
    if not rows:
        return
    cells = [[escape_control(cell) for cell in row] for row in (header, *rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(header))]
    for row in cells:
        click.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def show_problem(problem: ImagekitError) -> None:
    """Print an operator's error: the sentence, what a tool said, every problem of a definition, the hint."""
    click.echo(f"error: {escape_control(problem.message)}", err=True)
    for line in getattr(problem, "problems", ()):
        click.echo(f"  {escape_control(line)}", err=True)
    detail = getattr(problem, "detail", "")
    for line in detail.splitlines():
        click.echo(f"  | {escape_control(line.expandtabs())}", err=True)
    for number, line in enumerate((problem.hint or "").splitlines()):
        click.echo(f"{'      ' if number else 'hint: '}{escape_control(line)}", err=True)
