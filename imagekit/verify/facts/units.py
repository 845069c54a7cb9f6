"""What systemd would do with a unit: where it is, whether it is masked, what pulls it in (systemd.unit(5))."""

import re
from dataclasses import dataclass

from imagekit.disk.tree import FileType
from imagekit.verify.view import View, fact

# systemd.unit(5), "System Unit Search Path", without what exists only at run time.
_ADMINISTRATOR = "/etc/systemd/system"
DIRECTORIES = (_ADMINISTRATOR, "/usr/local/lib/systemd/system", "/usr/lib/systemd/system", "/lib/systemd/system")
_PULLS = (".wants", ".requires", ".upholds")
_INSTALL = re.compile(r"^\s*(?:WantedBy|RequiredBy|UpheldBy|Alias)\s*=\s*\S", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Unit:
    """A unit's state. ``path`` is its file; ``pulled_by`` the links that start it; ``text`` the unit and drop-ins."""

    name: str
    path: str
    masked: bool
    pulled_by: tuple[str, ...]
    text: str

    @property
    def enabled(self) -> bool:
        """Say whether boot starts it."""
        return not self.masked and bool(self.pulled_by)

    @property
    def installable(self) -> bool:
        """Say whether ``systemctl enable`` has something to do (an ``[Install]`` section with a target)."""
        return bool(_INSTALL.search(self.text))


@fact
def read_pulls(view: View) -> dict[str, tuple[str, ...]]:
    """Return for each unit name the links in ``*.wants`` and its like, and the aliases, that start it."""
    pulls: dict[str, list[str]] = {}
    for directory in DIRECTORIES[:3] if _is_merged(view) else DIRECTORIES:
        for path, node in view.children(directory):
            if node.type is FileType.DIRECTORY and path.endswith(_PULLS):
                for link, _ in view.children(path):
                    pulls.setdefault(link.rsplit("/", 1)[-1], []).append(link)
            elif node.type is FileType.SYMLINK and directory == _ADMINISTRATOR:
                target = (view.tree.readlink(path) or "").rsplit("/", 1)[-1]
                if target not in ("", "null", path.rsplit("/", 1)[-1]):
                    pulls.setdefault(target, []).append(path)
    return {name: tuple(links) for name, links in pulls.items()}


def _is_merged(view: View) -> bool:
    node = view.tree.lstat("/lib")
    return node is not None and node.type is FileType.SYMLINK


def find_unit(view: View, name: str) -> Unit | None:
    """Return the state of unit ``name``, or ``None`` when the image has no such unit and no mask for it."""
    for directory in DIRECTORIES:
        path = f"{directory}/{name}"
        node = view.tree.lstat(path)
        if node is None:
            continue
        pulled_by = read_pulls(view).get(name, ())
        if is_mask(view, path):
            return Unit(name, path, True, pulled_by, "")
        return Unit(name, path, False, pulled_by, (view.text(path) or "") + _read_drop_ins(view, name))
    return None


def is_mask(view: View, path: str) -> bool:
    """Say whether the file masks its unit: a link to ``/dev/null``, or an empty file."""
    node = view.tree.lstat(path)
    if node is None:
        return False
    if node.type is FileType.SYMLINK:
        return view.tree.readlink(path) == "/dev/null"
    return node.type is FileType.FILE and node.size == 0


def _read_drop_ins(view: View, name: str) -> str:
    """Return the text of ``NAME.d/*.conf`` of every directory, joined."""
    texts = []
    for directory in DIRECTORIES:
        for path, _ in view.children(f"{directory}/{name}.d", ".conf"):
            texts.append(view.text(path) or "")
    return "\n".join(["", *texts])


def is_usable(view: View, *names: str) -> bool:
    """Say whether one of the units exists and is not masked."""
    return any((unit := find_unit(view, name)) is not None and not unit.masked for name in names)


def is_enabled(view: View, *names: str) -> bool:
    """Say whether boot starts one of the units."""
    return any((unit := find_unit(view, name)) is not None and unit.enabled for name in names)
