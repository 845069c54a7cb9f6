"""What ``systemctl preset-all`` would enable on a first boot (systemd.preset(5)).

PID 1 does it in the mode that only enables. Files of one name hide each other by directory, the first rule that matches
counts, and a unit that no rule names is enabled: Debian's own packages ship almost none that say otherwise.
"""

import fnmatch
import re

from imagekit.disk.tree import FileType
from imagekit.verify.facts.units import DIRECTORIES, is_mask, read_pulls
from imagekit.verify.view import View, fact

_PRESETS = ("/etc/systemd/system-preset", "/usr/local/lib/systemd/system-preset", "/usr/lib/systemd/system-preset",
            "/lib/systemd/system-preset")  # fmt: skip
_SUFFIXES = (".service", ".socket", ".timer", ".path", ".target", ".mount")
_INSTALL = re.compile(r"^(?:WantedBy|RequiredBy|UpheldBy)[ \t]*=[ \t]*\S", re.MULTILINE)
_MOST_RULES = 5_000
_UNIT_LIMIT = 64 << 10


def _read_rules(view: View) -> list[tuple[bool, str]]:
    """Return the rules in the order in which they are asked: enable or not, and a pattern for a unit's name."""
    files: dict[str, str] = {}
    for directory in _PRESETS:
        for path, _ in view.children(directory, ".preset"):
            files.setdefault(path.rsplit("/", 1)[-1], path)
    rules = []
    for name in sorted(files):
        for line in view.lines(files[name]):
            words = line.split()
            if len(words) >= 2 and words[0] in ("enable", "disable", "ignore"):
                rules.append((words[0] == "enable", words[1]))
    return rules[:_MOST_RULES]


@fact
def list_preset_units(view: View) -> tuple[str, ...]:
    """Return the units with an ``[Install]`` section that are neither enabled nor masked and would be enabled."""
    rules = _read_rules(view)
    pulls = read_pulls(view)
    seen: set[str] = set()
    found = []
    for directory in DIRECTORIES:
        for path, node in view.children(directory):
            name = path.rsplit("/", 1)[-1]
            if name in seen or not name.endswith(_SUFFIXES):
                continue
            seen.add(name)  # the first directory hides the others
            # A template needs an instance, a link is another unit's alias, and a mask beats every preset.
            if node.type is not FileType.FILE or "@." in name or name in pulls or is_mask(view, path):
                continue
            if _INSTALL.search(view.text(path, _UNIT_LIMIT) or "") and _is_preset(name, rules):
                found.append(name)
    return tuple(sorted(found))


def _is_preset(name: str, rules: list[tuple[bool, str]]) -> bool:
    return next((enable for enable, pattern in rules if fnmatch.fnmatchcase(name, pattern)), True)
