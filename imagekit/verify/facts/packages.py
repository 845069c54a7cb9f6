"""What the package databases say, and apt's sources."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from imagekit.disk.packages.dpkg import read_dpkg_states
from imagekit.verify.view import View, fact

_LIMIT = 1 << 20
_WORDS = 16
_LONGEST = 4096
# Comments, quoted texts, the three marks, and words. A '#' begins a comment only where a token may begin.
_TOKEN = re.compile(r"//[^\n]*|/\*(?:[^*]|\*(?!/))*(?:\*/)?|#[^\n]*|\"[^\"\n]*\"?|[{};]|[^\s{};\"]+")


@dataclass(frozen=True, slots=True)
class AptSource:
    """One archive line: ``options`` from brackets or deb822 fields in lower case, ``uri`` and ``suites`` as written."""

    path: str
    uri: str
    suites: tuple[str, ...]
    options: dict[str, str]


@dataclass(frozen=True, slots=True)
class AptOption:
    """One setting of apt.conf(5), with its full name: ``Acquire::http::Proxy``."""

    path: str
    name: str
    value: str


@fact
def read_package_states(view: View) -> dict[str, str]:
    """Return dpkg's state of each package that is not plainly installed; see :func:`read_dpkg_states`."""
    return read_dpkg_states(view.tree)


@fact
def read_apt_sources(view: View) -> tuple[AptSource, ...]:
    """Return the archives of ``sources.list``, ``*.list`` and deb822 ``*.sources`` (sources.list(5))."""
    found: list[AptSource] = []
    lists = ["/etc/apt/sources.list", *(path for path, _ in view.children("/etc/apt/sources.list.d", ".list"))]
    for path in lists:
        found += _read_lines(path, view.text(path, _LIMIT) or "")
    for path, _ in view.children("/etc/apt/sources.list.d", ".sources"):
        found += _read_paragraphs(path, view.text(path, _LIMIT) or "")
    return tuple(found)


def _read_lines(path: str, text: str) -> Iterator[AptSource]:
    for line in text.splitlines():
        words = line.split("#")[0].split()
        if len(words) < 2 or words[0] not in ("deb", "deb-src"):
            continue
        rest = " ".join(words[1:])
        options = {}
        if rest.startswith("["):
            inside, _, rest = rest[1:].partition("]")
            options = {key.lower(): value for key, _, value in (word.partition("=") for word in inside.split())}
        uri, *suites = rest[:_LONGEST].split() or [""]
        if uri.startswith("cdrom:") and "]" in rest:  # a disc's name may hold blanks: deb cdrom:[Debian 12 …]/ suite
            suites = rest.partition("]")[2].split()[1:]
        yield AptSource(path, uri, tuple(suites[:1]), options)


def _read_paragraphs(path: str, text: str) -> Iterator[AptSource]:
    for paragraph in text.replace("\r", "").split("\n\n"):
        fields: dict[str, str] = {}
        key = ""
        for line in paragraph.splitlines():
            if line.startswith("#"):
                continue
            if line[:1] in (" ", "\t"):
                fields[key] = f"{fields.get(key, '')} {line.strip()}"
            elif ":" in line:
                name, _, value = line.partition(":")
                key = name.strip().lower()
                fields[key] = value.strip()
        if fields.get("enabled", "yes").lower() in ("no", "false"):
            continue
        for uri in fields.get("uris", "").split():
            yield AptSource(path, uri, tuple(fields.get("suites", "").split()), fields)


@fact
def read_apt_options(view: View) -> tuple[AptOption, ...]:
    """Return every setting of ``apt.conf`` and ``apt.conf.d``, scopes in braces joined with ``::`` (apt.conf(5))."""
    found: list[AptOption] = []
    for path in ("/etc/apt/apt.conf", *(path for path, _ in view.children("/etc/apt/apt.conf.d"))):
        found += _read_settings(path, view.text(path, _LIMIT) or "")
    return tuple(found)


def _read_settings(path: str, text: str) -> Iterator[AptOption]:
    scopes: list[str] = []
    words: list[str] = []
    for match in _TOKEN.finditer(text):
        token = match.group()
        if token.startswith(("//", "/*", "#")):
            continue
        if token == "{":
            scopes.append(words[0] if words else "")
            words = []
        elif token in "};":
            if words:
                yield AptOption(path, "::".join(filter(None, [*scopes, words[0]])), " ".join(words[1:]))
            words = []
            if token == "}" and scopes:
                scopes.pop()
        elif len(words) < _WORDS:
            words.append(token.strip('"')[:_LONGEST])
