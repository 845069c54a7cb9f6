"""Where this machine gets Debian packages from: sources.list(5), one-line and deb822, read into values.

A build uses the machine's own mirror, proxy and credentials, and leaves none of them in the image. Foreign repositories
of the machine (a vendor's, Ubuntu's) are passed over. A suite's name does not tell them apart: browsers and clouds call
theirs ``stable`` or ``bookworm`` and their component ``main`` too. The key and the address do.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from imagekit.definition.model import Release
from imagekit.errors import ToolMissing

KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
_OPTIONS = re.compile(r"\[([^\]]*)\]")
_DISABLED = ("no", "false", "without", "off", "disable")  # apt's StringToBool
_ALIASES = ("stable", "oldstable", "testing", "unstable", "sid", "forky", "bullseye")


@dataclass(frozen=True, slots=True)
class AptSource:
    """One repository: where it is, the suite, its components, and the keyring that signs it (empty: the default)."""

    uri: str
    suite: str
    components: tuple[str, ...]
    signed_by: str = ""

    def format_line(self) -> str:
        """Return the entry in one-line style, with the keyring always named."""
        return f"deb [signed-by={self.signed_by or KEYRING}] {self.uri} {self.suite} {' '.join(self.components)}"


def parse_one_line(text: str) -> Iterator[AptSource]:
    """Read the ``deb`` lines of a ``sources.list``; ``deb-src`` and comments are passed over."""
    for line in text.splitlines():
        entry = line.split("#", 1)[0].strip()
        if not entry.startswith(("deb ", "deb\t")):
            continue
        options = _OPTIONS.search(entry)
        words = _OPTIONS.sub(" ", entry).split()[1:]
        if len(words) < 2:
            continue
        signed = dict(part.split("=", 1) for part in (options.group(1).split() if options else ()) if "=" in part)
        yield AptSource(words[0], words[1], tuple(words[2:]), _only_path(signed.get("signed-by", "")))


def parse_deb822(text: str) -> Iterator[AptSource]:
    """Read the enabled binary stanzas of a ``.sources`` file; a key embedded in ``Signed-By`` counts as the default."""
    for stanza in re.split(r"\n\s*\n", re.sub(r"(?m)^#.*\n?", "", text)):
        fields: dict[str, str] = {}
        name = ""
        for line in stanza.splitlines():
            if line[:1].isspace():
                fields[name] = f"{fields.get(name, '')} {line.strip()}"
            elif ":" in line:
                name, value = line.split(":", 1)
                name = name.strip().lower()
                fields[name] = value.strip()
        if "deb" not in fields.get("types", "").split() or fields.get("enabled", "yes").lower() in _DISABLED:
            continue
        keyring = _only_path(fields.get("signed-by", ""))
        for uri in fields.get("uris", "").split():
            for suite in fields.get("suites", "").split():
                yield AptSource(uri, suite, tuple(fields.get("components", "").split()), keyring)


def _only_path(signed_by: str) -> str:
    """Return the keyring file that ``Signed-By`` names; embedded keys and bare fingerprints count as the default."""
    named = signed_by.strip('"')
    return named if named.startswith("/") else ""


def read_machine_sources(etc: Path = Path("/etc/apt")) -> tuple[AptSource, ...]:
    """Return every repository that this machine's apt reads, in apt's order; files closed to this user are left out."""
    found: list[AptSource] = []
    one_line = [etc / "sources.list", *sorted((etc / "sources.list.d").glob("*.list"))]
    for path in one_line:
        found += parse_one_line(_read_if_open(path))
    for path in sorted((etc / "sources.list.d").glob("*.sources")):
        found += parse_deb822(_read_if_open(path))
    return tuple(found)


def _read_if_open(path: Path) -> str:
    """Return the text of a file; nothing when it is not there or is another user's secret."""
    try:
        return path.read_text(errors="replace")
    except (FileNotFoundError, PermissionError, IsADirectoryError):
        return ""


def choose_sources(sources: tuple[AptSource, ...], release: Release) -> tuple[AptSource, ...]:
    """Return the machine's Debian mirrors turned to ``release``: the suite itself, its updates, its security updates.

    The machine's own release does not matter: a mirror that carries one Debian release carries the others. Empty when
    the machine has no Debian mirror (an Ubuntu machine). What Debian's keyring signs comes before what names no key,
    and that before a mirror with a key of its own; apt's order decides among equals.
    """
    chosen: dict[str, AptSource] = {}
    for source in sorted(filter(_is_debian, sources), key=_rank):
        _, _, section = source.suite.partition("-")
        suite = f"{release}-{section}" if section else str(release)
        chosen.setdefault(suite, AptSource(source.uri, suite, ("main",), source.signed_by))
    if str(release) not in chosen:
        return ()
    return tuple(chosen[suite] for suite in sorted(chosen))


def _is_debian(source: AptSource) -> bool:
    """Say whether this is Debian itself: a release of it with ``main``, and its keyring or an address that says so."""
    code_name, _, section = source.suite.partition("-")
    if code_name not in {*Release, *_ALIASES} or section not in ("", "updates", "security"):
        return False
    return "main" in source.components and (_rank(source) == 0 or "debian" in source.uri.rsplit("@", 1)[-1].lower())


def _rank(source: AptSource) -> int:
    """Return 0 for Debian's own keyring, 1 for none named, 2 for another one."""
    if not source.signed_by:
        return 1
    return 0 if Path(source.signed_by).name.startswith("debian-archive-") else 2


def require_keyring() -> None:
    """Raise :class:`ToolMissing` when the machine cannot check Debian's signatures."""
    if not KEYRING.is_file():
        raise ToolMissing(
            "Debian's archive keys are not installed, so packages cannot be verified",
            hint="sudo apt install debian-archive-keyring",
        )
