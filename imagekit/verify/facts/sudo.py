"""Who may become whom with sudo, as far as a line of sudoers(5) says it."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from imagekit.verify.view import View, fact

_MAIN_FILE = "/etc/sudoers"
_INCLUDE = re.compile(r"^[#@]include(dir)?\s+(\S+)")
_RULE = re.compile(r"^(\S+)\s+[^=]*=")
_UNASKED = re.compile(r"^Defaults[@:!>]?(\S*)\s.*!authenticate")
_NOT_WHO = ("Defaults", "User_Alias", "Runas_Alias", "Host_Alias", "Cmnd_Alias", "Cmd_Alias")
_FILES = 200
_LONGEST = 4096


@dataclass(frozen=True, slots=True)
class Grant:
    """One rule: ``ignored`` when sudo skips its file because of the file's name."""

    path: str
    who: str
    nopasswd: bool
    ignored: bool = False


@fact
def read_grants(view: View) -> tuple[Grant, ...]:
    """Return the rules of ``/etc/sudoers`` and what it includes, each file once."""
    seen: set[str] = set()
    grants = list(_read_file(view, _MAIN_FILE, seen))
    if "/etc/sudoers.d" not in seen:  # sudo may be absent while a file waits for it
        grants += _read_directory(view, "/etc/sudoers.d", seen)
    return tuple(grants)


def _read_directory(view: View, directory: str, seen: set[str]) -> Iterator[Grant]:
    """Read a directory's files; sudo skips names that contain a dot or end in ``~``."""
    seen.add(directory)
    for path, _ in view.children(directory):
        name = path.rsplit("/", 1)[-1]
        yield from _read_file(view, path, seen, ignored="." in name or name.endswith("~"))


def _read_file(view: View, path: str, seen: set[str], *, ignored: bool = False) -> Iterator[Grant]:
    if path in seen or len(seen) > _FILES:
        return
    seen.add(path)
    for line in (view.text(path) or "").replace("\\\n", " ").splitlines():
        line = line[:_LONGEST].strip()
        if match := _INCLUDE.match(line):
            target = match.group(2).strip('"')
            target = target if target.startswith("/") else f"/etc/{target}"
            yield from _read_directory(view, target, seen) if match.group(1) else _read_file(view, target, seen)
        elif match := _UNASKED.match(line):
            yield Grant(path, match.group(1) or "everybody", True, ignored)
        elif line and not line.startswith(("#", *_NOT_WHO)) and (match := _RULE.match(line)):
            yield Grant(path, match.group(1), "NOPASSWD:" in line.replace("NOPASSWD :", "NOPASSWD:"), ignored)
