"""Where this machine gets Debian packages from: sources.list(5), one-line and deb822, read into values.

A build uses the machine's own mirror, proxy and credentials, and leaves none of them in the image. Foreign repositories
of the machine (a vendor's, Ubuntu's) are passed over: only entries that carry a Debian release count.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from imagekit.definition.model import Release
from imagekit.errors import ToolMissing

KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
_OPTIONS = re.compile(r"\[([^\]]*)\]")
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
        yield AptSource(words[0], words[1], tuple(words[2:]), signed.get("signed-by", ""))


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
        if "deb" not in fields.get("types", "").split() or fields.get("enabled", "yes").lower() in ("no", "false"):
            continue
        signed = fields.get("signed-by", "")
        for uri in fields.get("uris", "").split():
            for suite in fields.get("suites", "").split():
                keyring = signed if signed.startswith("/") else ""
                yield AptSource(uri, suite, tuple(fields.get("components", "").split()), keyring)


def read_machine_sources(etc: Path = Path("/etc/apt")) -> tuple[AptSource, ...]:
    """Return every repository that this machine's apt reads, in apt's order."""
    found: list[AptSource] = []
    one_line = [etc / "sources.list", *sorted((etc / "sources.list.d").glob("*.list"))]
    for path in one_line:
        if path.is_file():
            found += parse_one_line(path.read_text(errors="replace"))
    for path in sorted((etc / "sources.list.d").glob("*.sources")):
        found += parse_deb822(path.read_text(errors="replace"))
    return tuple(found)


def choose_sources(sources: tuple[AptSource, ...], release: Release) -> tuple[AptSource, ...]:
    """Return the machine's Debian mirrors turned to ``release``: the suite itself, its updates, its security updates.

    The machine's own release does not matter: a mirror that carries one Debian release carries the others. Empty when
    the machine has no Debian mirror (an Ubuntu machine).
    """
    chosen: dict[str, AptSource] = {}
    for source in sources:
        code_name, _, section = source.suite.partition("-")
        known = code_name in {*Release, *_ALIASES}
        if not known or "main" not in source.components or section not in ("", "updates", "security"):
            continue
        suite = f"{release}-{section}" if section else str(release)
        chosen.setdefault(suite, AptSource(source.uri, suite, ("main",), source.signed_by))
    if str(release) not in chosen:
        return ()
    return tuple(chosen[suite] for suite in sorted(chosen))


def require_keyring() -> None:
    """Raise :class:`ToolMissing` when the machine cannot check Debian's signatures."""
    if not KEYRING.is_file():
        raise ToolMissing(
            "Debian's archive keys are not installed, so packages cannot be verified",
            hint="sudo apt install debian-archive-keyring",
        )
