"""The line of every key in a TOML document, which :mod:`tomllib` does not tell.

The scanner follows TOML 1.0.0 (https://toml.io/en/v1.0.0) as far as it must to step over values. It is given only
documents that tomllib has accepted, so it checks nothing; where a newer TOML has something that it does not know, it
stops and keeps the lines that it has found.
"""

import contextlib
import re
import tomllib
from bisect import bisect_left

KeyPath = tuple[str | int, ...]
"""Where a value is: keys, and positions in arrays counted from 0, such as ``("images", "template", "files", 0)``."""

_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
_KEY_PART = re.compile(r"""[ \t]*("(?:[^"\\\n]|\\.)*"|'[^'\n]*'|[A-Za-z0-9_-]+)[ \t]*""")
_BLANK = re.compile(r"(?:[ \t\n]|#[^\n]*)*")
_ONE_LINE_STRING = re.compile(r""""(?:[^"\\\n]|\\.)*"|'[^'\n]*'""")
_ESCAPE_OR_END = re.compile(r'\\.|"""', re.DOTALL)
_SCALAR = re.compile(r"[^,\]}\n#]+")


class _Lost(Exception):
    """The text is not what the scanner knows; nobody outside sees this."""


def scan_lines(text: str) -> dict[KeyPath, int]:
    """Return the line, counted from 1, on which each key, table and array element of ``text`` first appears.

    ``text`` has line feeds only and is valid TOML. Raises :class:`RecursionError` where arrays nest as deep as tomllib
    itself refuses.
    """
    scanner = _Scanner(text)
    with contextlib.suppress(_Lost):  # what was found still serves: other keys take the line of the table around them
        scanner.scan_document()
    return scanner.lines


def format_key(path: KeyPath) -> str:
    """Return ``path`` as an operator would write it: ``images.template.files[0].path``, quoted where TOML must."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            text += ("." if text else "") + (part if _BARE_KEY.fullmatch(part) else ascii(part))
    return text


class _Scanner:
    """A position in the text and what was found up to there."""

    def __init__(self, text: str) -> None:
        self.lines: dict[KeyPath, int] = {}
        self._text = text
        self._at = 0
        self._breaks = [match.start() for match in re.finditer("\n", text)]
        self._lengths: dict[KeyPath, int] = {}  # how many [[tables]] each array of tables has so far

    def scan_document(self) -> None:
        table: KeyPath = ()
        while True:
            self._skip_blank()
            if self._at == len(self._text):
                return
            if self._text.startswith("[[", self._at):
                table = self._scan_header(2)
            elif self._text.startswith("[", self._at):
                table = self._scan_header(1)
            else:
                self._scan_pair(table)

    def _scan_header(self, brackets: int) -> KeyPath:
        """Step over ``[key]`` or ``[[key]]`` and return the path of the table that it opens."""
        line = self._line()
        self._at += brackets
        path: KeyPath = ()
        for part in self._scan_key():
            if path in self._lengths:  # a table inside an array of tables belongs to its last element
                path += (self._lengths[path] - 1,)
            path += (part,)
            self.lines.setdefault(path, line)
        self._expect("]" * brackets)
        if brackets == 2:
            index = self._lengths.get(path, 0)
            self._lengths[path] = index + 1
            path += (index,)
            self.lines[path] = line
        return path

    def _scan_pair(self, table: KeyPath) -> None:
        line, path = self._line(), table
        for part in self._scan_key():
            path += (part,)
            self.lines.setdefault(path, line)
        self._expect("=")
        self._skip_blank()
        self._scan_value(path)

    def _scan_key(self) -> list[str]:
        parts = []
        while match := _KEY_PART.match(self._text, self._at):
            self._at = match.end()
            part = match.group(1)
            parts.append(tomllib.loads(f"key = {part}")["key"] if part[0] in "\"'" else part)
            if not self._text.startswith(".", self._at):
                return parts
            self._at += 1
        raise _Lost

    def _scan_value(self, path: KeyPath) -> None:
        first = self._text[self._at : self._at + 1]
        if self._text.startswith(('"""', "'''"), self._at):
            self._skip_long_string(first)
        elif first in ('"', "'"):
            self._skip_match(_ONE_LINE_STRING)
        elif first == "[":
            self._scan_members(path, "]")
        elif first == "{":
            self._scan_members(path, "}")
        else:
            self._skip_match(_SCALAR)

    def _scan_members(self, path: KeyPath, closing: str) -> None:
        """Step over an array or an inline table with everything in it."""
        self._at += 1
        index = 0
        while True:
            self._skip_blank()
            if self._text.startswith(closing, self._at):
                self._at += 1
                return
            if closing == "]":
                self.lines[(*path, index)] = self._line()
                self._scan_value((*path, index))
                index += 1
            else:
                self._scan_pair(path)
            self._skip_blank()
            if self._text.startswith(",", self._at):
                self._at += 1

    def _skip_long_string(self, quote: str) -> None:
        """Step over a string in triple quotes; up to two of the same quotes may stand right before the closing ones."""
        self._at += 3
        if quote == "'":
            self._at = self._text.index("'''", self._at) + 3
        else:
            while match := _ESCAPE_OR_END.search(self._text, self._at):
                self._at = match.end()
                if match.group() == '"""':
                    break
        for _ in range(2):
            if self._text.startswith(quote, self._at):
                self._at += 1

    def _skip_match(self, pattern: re.Pattern[str]) -> None:
        match = pattern.match(self._text, self._at)
        if match is None:
            raise _Lost
        self._at = match.end()

    def _skip_blank(self) -> None:
        self._skip_match(_BLANK)

    def _expect(self, text: str) -> None:
        if not self._text.startswith(text, self._at):
            raise _Lost
        self._at += len(text)

    def _line(self) -> int:
        return bisect_left(self._breaks, self._at) + 1
