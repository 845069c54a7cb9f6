"""The files that the default boot entry names, and the modules of its kernel."""

from dataclasses import dataclass

from imagekit.disk.tree import FileTree, FileType
from imagekit.verify.facts.boot_entries import Entry, read_default_entry
from imagekit.verify.view import View, fact

_LIBRARIES = ("/usr/lib/modules", "/lib/modules")
_LIMIT = 4 << 20


@dataclass(frozen=True, slots=True)
class BootFile:
    """A file as a boot entry means it: the tree that has it, its canonical path there and its size in bytes."""

    tree: FileTree
    path: str
    size: int


def find_boot_file(view: View, entry: Entry, path: str) -> BootFile | None:
    """Return the file that ``entry`` calls ``path``, from whichever filesystem it means; ``None`` without one."""
    path = path[path.index(")") + 1 :] if path.startswith("(") and ")" in path else path
    trees: list[tuple[FileTree, str]] = [(view.tree, path), (view.tree, f"/boot/{path.lstrip('/')}")]
    esp = view.esp() if view.has_disk else None
    if esp is not None:
        trees.insert(0 if entry.on_esp else len(trees), (esp, path))
    for tree, candidate in trees:
        node = tree.stat(candidate)
        if node is not None and node.type is FileType.FILE:
            return BootFile(tree, tree.resolve(candidate) or candidate, node.size)
    return None


@fact
def read_kernel_version(view: View) -> str:
    """Return the default kernel's version, told by its file's name or its directory's; empty when neither tells.

    Debian and Fedora call it ``vmlinuz-VERSION``; kernel-install(8) puts it into ``ENTRY-TOKEN/VERSION/linux``.
    """
    entry = read_default_entry(view)
    found = find_boot_file(view, entry, entry.kernel) if entry is not None else None
    if found is None:
        return ""
    *_, directory, name = f"/{found.path}".split("/")
    version = name.partition("-")[2]
    if not version and any(view.exists(f"{library}/{directory}") for library in _LIBRARIES if directory):
        version = directory
    return version


@fact
def read_built_in(view: View) -> frozenset[str]:
    """Return the names of the modules that are part of the default kernel, with ``_`` for ``-`` (modules.builtin)."""
    version = read_kernel_version(view)
    if not version:
        return frozenset()
    for library in _LIBRARIES:
        text = view.text(f"{library}/{version}/modules.builtin", _LIMIT)
        if text:
            return frozenset(filter(None, map(name_module, text.splitlines())))
    return frozenset()


@fact
def read_modules(view: View) -> frozenset[str]:
    """Return the names of the default kernel's loadable modules, with ``_`` for ``-`` (modules.dep(5))."""
    version = read_kernel_version(view)
    for library in _LIBRARIES if version else ():
        text = view.text(f"{library}/{version}/modules.dep", _LIMIT)
        if text:
            return frozenset(filter(None, (name_module(line.partition(":")[0]) for line in text.splitlines())))
    return frozenset()


def name_module(path: str) -> str:
    """Return the module's name of a path such as ``kernel/drivers/block/virtio-blk.ko.xz``; empty when it is none."""
    name, dot, _ = path.rpartition("/")[2].partition(".ko")
    return name.replace("-", "_") if dot else ""
