"""Mistakes in a file, gathered so that one reading tells all of them."""

from collections.abc import Iterable
from pathlib import Path

from imagekit.definition.toml_file import TomlFile
from imagekit.definition.toml_lines import KeyPath, format_key
from imagekit.errors import DefinitionInvalid


class Wrong(Exception):
    """One value cannot be used; the text says why. Becomes a problem with file, line and key."""


class Problems:
    """The mistakes of one file so far, each with its place."""

    def __init__(self, file: TomlFile) -> None:
        self._file = file
        self._found: list[tuple[int, str]] = []
        self._broken: set[KeyPath] = set()

    def add(self, path: KeyPath, sentence: str) -> None:
        """Note that the value at ``path`` is wrong."""
        line = self._file.find_line(path)
        key = f"{format_key(path)}: " if path else ""
        self._found.append((line, f"{self._file.name}:{line}: {key}{sentence}"))
        self._broken.add(path)

    def add_unknown_key(self, path: KeyPath, known: Iterable[str]) -> None:
        """Note that nothing reads the key at ``path``, with the known key that was probably meant."""
        known = sorted(known)
        key = str(path[-1])
        meant = suggest(key, known)
        if "passw" in key.lower():
            self.add(path, "templates carry no passwords; people enter with the keys in users' ssh_keys")
        elif meant:
            self.add(path, f"unknown key; did you mean {meant!r}?")
            self._broken.add((*path[:-1], meant))  # no conclusions from the default of what was misspelled
        else:
            self.add(path, f"unknown key; known here: {', '.join(known)}")

    def touches(self, path: KeyPath) -> bool:
        """Say whether something at ``path`` or inside it is wrong, so that no conclusion should be drawn from it."""
        return any(broken[: len(path)] == path for broken in self._broken)

    def list_sentences(self) -> list[str]:
        """Return every problem in the order of lines."""
        return [sentence for _, sentence in sorted(self._found, key=lambda item: item[0])]

    def raise_any(self, path: Path, error: type[DefinitionInvalid] = DefinitionInvalid) -> None:
        """Raise ``error`` with every problem in the order of lines, if there is one."""
        sentences = self.list_sentences()
        if not sentences:
            return
        count = "a mistake" if len(sentences) == 1 else f"{len(sentences)} mistakes"
        raise error(f"{path} has {count}", problems=sentences)


def suggest(word: str, known: Iterable[str]) -> str | None:
    """Return the one of ``known`` that looks most like ``word``, or ``None`` when nothing does."""
    import difflib  # here: it is wanted only when something is wrong

    known = list(known)
    for spelling in (word.lower().replace("-", "_"), word.lower()):
        if close := difflib.get_close_matches(spelling, known, n=1):
            return close[0]
    return None


def name_type(value: object) -> str:
    """Return what ``value`` is in TOML's words, with the value itself where it is short and cannot be a secret."""
    match value:
        case bool():
            return f"the boolean {str(value).lower()}"
        case int():
            return f"the integer {value}" if abs(value) < 10**20 else "a very large integer"
        case float():
            return f"the float {value}"
        case str():
            return "a string"
        case list():
            return "an array"
        case dict():
            return "a table"
        case _:
            return "a date or time"


def quote(text: str) -> str:
    """Return ``text`` for a message: one line, at most 60 characters, and never a private key."""
    if "PRIVATE KEY" in text:
        return "(a private key, not shown here)"
    return repr(text if len(text) <= 60 else f"{text[:57]}…")
