"""Take secrets out of text before it is kept or shown: known values in every shape Packer gives them, and headers.

Packer hides only what its template declares ``sensitive``; the rest of the environment, the seed upload and, with some
plugins, the Authorization header stand in its log in clear.
"""

import base64
import json
import re
import shlex
from collections.abc import Iterable
from urllib.parse import quote, quote_plus

MASK = "<masked>"
SHORTEST = 4
_LONGEST_KEY_LINES = 200
_LONGEST_MATCH = 20_000
_BASE64_CORE = 8

# A word without which the pattern cannot match, in lower case, and the pattern, of which the first group stays. Values
# end where the quoting of a log could end them; all are bounded.
_OPENS = r"[\"'\\]{0,2}\s{0,2}[:=]\s{0,2}(?:\[\]string\{|\[)?[\"'\\]{0,2})(?!<masked>)"  # as HTTP, JSON and Go do
_HEADERS = (
    ("pveapitoken", r"(PVEAPIToken[= :]{1,3})(?!<masked>)[^\s\"'\\,;)\]}]{1,1024}"),
    ("pveauthcookie", r"(PVEAuthCookie[= :\"']{1,4})(?!<masked>)[^\s\"'\\,;)\]}]{1,2048}"),
    ("pve", r"()PVE(?:VNC)?:[\w.@!:-]{1,200}::[A-Za-z0-9+/=%]{16,1024}"),
    ("csrfpreventiontoken", rf"(CSRFPreventionToken{_OPENS}[^\s\"'\\,;)\]}}]{{1,1024}}"),
    ("authorization", rf"(Authorization{_OPENS}[^\r\n\"'\\\]}}]{{1,4096}}"),
    ("cookie", rf"(Cookie{_OPENS}[^\r\n\"'\\\]}}]{{1,4096}}"),
    ("with the password", r"(with the password: )(?!<masked>)[^\s\"'\\]{1,64}"),  # of the build's VNC console
    ("://", r"(\b[a-z][a-z0-9+.-]{1,16}://[^\s/:@\"'<>]{1,128}:)(?!<masked>)[^\s/@\"'<>]{1,256}(?=@)"),
)
_KEY = r"()-----BEGIN [A-Z ]{0,30}PRIVATE KEY-----.{0,16000}?-----END [A-Z ]{0,30}PRIVATE KEY-----"
_PATTERNS = (
    ("private key", re.compile(_KEY, re.DOTALL)),
    *((word, re.compile(pattern, re.IGNORECASE)) for word, pattern in _HEADERS),
)
_KEY_BEGINS = re.compile(r"-----BEGIN [A-Z ]{0,30}PRIVATE KEY-----.*", re.DOTALL)
_KEY_ENDS = re.compile(r".*?-----END [A-Z ]{0,30}PRIVATE KEY-----", re.DOTALL)


class Masker:
    """Replaces the values of secrets, and what looks like a credential of Proxmox, by ``<masked>``.

    A value shorter than four characters is left alone: it would mask half of the log, and is no secret. Of a value of
    several lines (a key) each line counts. The secrets themselves are in no ``repr``.
    """

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        forms: set[str] = set()
        for secret in secrets:
            value = secret.strip()
            if len(value) >= SHORTEST:
                forms |= _list_forms(value)
                for line in value.splitlines():
                    if len(line.strip()) >= 2 * SHORTEST:
                        forms |= _list_forms(line.strip())
        self._use_forms(forms)

    def _use_forms(self, forms: set[str]) -> None:
        self._forms = forms
        words = sorted(forms, key=lambda form: (-len(form), form))
        self.longest = max(map(len, words), default=0)
        self._values = re.compile("|".join(map(_loosen, words))) if words else None

    def __repr__(self) -> str:
        return "Masker()"

    def extend(self, secrets: Iterable[str]) -> "Masker":
        """Return a masker that knows ``secrets`` too."""
        extended = Masker(secrets)
        extended._use_forms(self._forms | extended._forms)
        return extended

    def mask(self, text: str) -> str:
        """Return ``text`` without secrets; a key that begins and does not end is masked to the end."""
        return _KEY_BEGINS.sub(MASK, self.mask_values(text))

    def mask_values(self, text: str) -> str:
        """Return ``text`` without secrets that are whole in it."""
        if self._values is not None:
            text = self._values.sub(MASK, text)
        for pattern in _choose_patterns(text):
            text = pattern.sub(rf"\g<1>{MASK}", text)
        return text

    def move_cut(self, text: str, cut: int) -> int:
        """Return ``cut``, moved to the left until nothing that would be masked lies across it."""
        patterns = [*_choose_patterns(text), *([self._values] if self._values else [])]
        spans = [found.span() for pattern in patterns for found in pattern.finditer(text)]
        for begin, end in sorted(spans, reverse=True):
            if begin < cut < end:
                cut = begin
        return cut


class MaskStream:
    """Mask a stream in pieces: whole lines at once, a line that does not end with care for what may be cut in two."""

    def __init__(self, masker: Masker, limit: int = 1 << 16) -> None:
        """``limit`` is the length from which a line is given out before it ends, in characters."""
        self._masker = masker
        self._hold = masker.longest + _LONGEST_MATCH
        self._limit = max(limit, 4 * self._hold)
        self._rest = ""
        self._key_lines = 0  # lines of a private key block that may still come; 0 outside of one

    def feed(self, text: str) -> str:
        """Take the next characters and return what can be shown of them and those before."""
        self._rest += text
        cut = self._rest.rfind("\n") + 1
        if not cut and len(self._rest) > self._limit:
            return self._give_part()
        ready, self._rest = self._rest[:cut], self._rest[cut:]
        return "".join(self._mask_line(line + "\n") for line in ready.split("\n")[:-1])

    def close(self) -> str:
        """Return what was held back."""
        ready, self._rest = self._rest, ""
        return self._mask_line(ready) if ready else ""

    def _give_part(self) -> str:
        """Give out the beginning of an endless line, cut where no secret is, nor one that has only begun."""
        cut = self._masker.move_cut(self._rest, len(self._rest) - self._hold)
        ready, self._rest = self._rest[:cut], self._rest[cut:]
        return self._mask_line(ready)

    def _mask_line(self, line: str) -> str:
        if self._key_lines:
            rest, ended = _KEY_ENDS.subn("", line, count=1)
            self._key_lines = 0 if ended else self._key_lines - 1
            if not ended:
                return ""
            line = rest
        line = self._masker.mask_values(line)
        if _KEY_BEGINS.search(line):
            self._key_lines = _LONGEST_KEY_LINES
            line = _KEY_BEGINS.sub(MASK + "\n", line)
        return line


def _choose_patterns(text: str) -> list[re.Pattern[str]]:
    """Return the patterns that can match in ``text``; to look for a word is much faster than to try a pattern."""
    lowered = text.lower()
    return [pattern for word, pattern in _PATTERNS if word in lowered]


def _list_forms(value: str) -> set[str]:
    """Return ``value`` as URLs, JSON, Go, shells, Packer's own lines, hexadecimal and base64 may write it."""
    raw = value.encode(errors="surrogateescape")
    escaped = json.dumps(value)[1:-1], json.dumps(value, ensure_ascii=False)[1:-1]
    plain = {
        value,
        quote(raw),
        quote(raw, safe=""),
        quote_plus(raw),
        *escaped,
        *(_escape_html(one) for one in escaped),
        *(json.dumps(one)[1:-1] for one in escaped),
        value.replace("$", "$$"),
        shlex.quote(value)[1:-1] if shlex.quote(value) != value else value,
        value.replace("'", "'\\''"),
        raw.hex(),
        raw.hex().upper(),
        *_list_base64(raw),
    }
    packed = {one.replace(",", "%!(PACKER_COMMA)").replace("\n", "\\n").replace("\r", "\\r") for one in plain}
    return {one for one in plain | packed if len(one) >= SHORTEST}


def _escape_html(text: str) -> str:
    """Return ``text`` as Go's encoding/json writes it inside a string."""
    return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")


def _list_base64(raw: bytes) -> set[str]:
    """Return the base64 of ``raw`` by itself and, where long enough to be known again, inside of something longer."""
    found = {base64.b64encode(raw).decode().rstrip("=")}
    for before in range(3):
        whole = base64.b64encode(b"\0" * before + raw).decode().rstrip("=")
        first = -(-before * 8 // 6)
        last = (before + len(raw)) * 8 // 6
        if len(core := whole[first:last]) >= _BASE64_CORE:
            found.add(core)
    return found | {one.replace("+", "-").replace("/", "_") for one in found}


def _loosen(form: str) -> str:
    """Return the pattern of ``form``; Packer wraps its messages at 80 columns, so a space may be a line's end."""
    return r"(?:\s|\\n)+".join(map(re.escape, form.split(" "))) if " " in form.strip() else re.escape(form)
