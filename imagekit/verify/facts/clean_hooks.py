"""Hooks of ``cloud-init clean``: whether they can run, and which files they are there to remove.

Source: cloud-init's ``cmd/clean.py`` and ``subp.runparts``, and the hook that Ubuntu's installer writes (a Python list
of paths and ``os.remove``). Other hooks are shell scripts with ``rm``.
"""

import re
from dataclasses import dataclass

from imagekit.disk.tree import FileType
from imagekit.verify.view import View, fact

DIRECTORY = "/etc/cloud/clean.d"
_LIMIT = 64 << 10
_MOST_HOOKS = 100
_MOST_TARGETS = 100
_QUOTED = re.compile(r"[\"'](/(?:etc|var|root|home|usr|boot|opt|srv)/[\w./@+-]{1,200})[\"']")
_WORD = re.compile(r"(?<=[\s\"'])(/(?:etc|var|root|home|usr|boot|opt|srv)/[\w./@+-]{1,200})(?=[\s\"';&|]|$)")
_RM = re.compile(r"(?:^|[;&|]\s*|\s)(?:/usr)?(?:/bin/)?(?:rm|unlink)\s")


@dataclass(frozen=True, slots=True)
class CleanHook:
    """One script; ``removes`` are the plain paths of files in it that it deletes, patterns left out."""

    path: str
    mode: int
    executable: bool
    removes: tuple[str, ...]


@fact
def read_clean_hooks(view: View) -> tuple[CleanHook, ...]:
    """Return the hooks by name; a README is none."""
    hooks = []
    for path, _ in view.children(DIRECTORY):
        node = view.tree.stat(path)
        if node is None or node.type is not FileType.FILE or path.rsplit("/", 1)[-1].startswith("README"):
            continue
        removes = tuple(target for target in _list_removed(view.text(path, _LIMIT) or "") if target != path)
        hooks.append(CleanHook(path, node.mode, bool(node.mode & 0o111), removes))
        if len(hooks) == _MOST_HOOKS:
            break
    return tuple(hooks)


def _list_removed(text: str) -> tuple[str, ...]:
    """Return the paths that a script removes: a Python script's quoted ones, and those after ``rm`` in a shell's."""
    first, _, body = text.partition("\n")
    lines = [line for line in body.splitlines() if not line.lstrip().startswith("#")]
    if "python" in first:
        removes = any(word in body for word in (".remove(", ".unlink(", "del_file("))
        found = [match.group(1) for line in lines for match in _QUOTED.finditer(line)] if removes else []
    else:
        found = [match.group(1) for line in lines if _RM.search(line) for match in _WORD.finditer(line)]
    return tuple(dict.fromkeys(found))[:_MOST_TARGETS]
