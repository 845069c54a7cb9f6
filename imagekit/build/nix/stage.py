"""The copy of a flake that is built: what belongs to it, the operator's site and own locks, and nothing else.

Nix copies the whole directory of a ``path:`` flake into its store, yesterday's image and ``.git`` with it, and of a git
work tree it sees only what git tracks, which a new file is not yet. A filtered copy has neither trouble, belongs to the
user who builds (git refuses another's, NixOS/nix issue 10202), and can be sent to another machine.
"""

import hashlib
import json
import os
import shutil
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from imagekit.build.nix.site import SITE_FILE, render_site
from imagekit.definition import FILE_NAME, ImageDefinition
from imagekit.errors import DefinitionInvalid, ToolMissing
from imagekit.host import find_tool, run
from imagekit.image import format_bytes

LOCKS = "imagekit.lock"
"""The directory beside ``imagekit.toml`` with a project's own locks, which stand instead of those of our flake."""

_PACKAGED = Path(__file__).with_name("packaged")  # written by setup.py, and only into a wheel
_CHECKOUT = Path(__file__).parents[3]
_OWN = ("flake.nix", "flake.lock", "nix")
# What lies beside a flake and is none of its sources: results, images, other tools' directories.
_LEFT_OUT = frozenset(
    (".git", ".hg", ".jj", ".svn", ".direnv", ".vagrant", ".venv", ".terraform", "node_modules", "__pycache__", LOCKS)
)
_IMAGES = (".img", ".iso", ".raw", ".qcow2", ".vmdk", ".box", ".zst", ".xz", ".gz", ".bz2", ".zip")
_LARGEST_FILE = 32 << 20
_LARGEST_FLAKE = 256 << 20
_MOST_FILES = 20_000


@dataclass(frozen=True, slots=True)
class StagedFlake:
    """A flake ready to be built; ``digest`` is the SHA-256 over its files' names, modes and bytes, site included."""

    directory: Path
    digest: str


def find_flake(definition: ImageDefinition) -> Path:
    """Return the directory of the image's flake; raises :class:`ToolMissing` when our own is not where it should be."""
    if definition.nix.flake is not None:
        return definition.nix.flake
    # A wheel is unpacked next to other people's packages: the copy comes first, and a checkout has none.
    directory = _PACKAGED if _PACKAGED.is_dir() else _CHECKOUT
    if not (directory / "flake.nix").is_file():
        raise ToolMissing(
            "this installation of imagekit has no flake", hint=f"{directory} should hold it: install imagekit again"
        )
    return directory


def find_locks(project: Path) -> Path:
    """Return the directory of the project's own locks, which need not be there; ``project`` is its directory."""
    return project / LOCKS


def stage_flake(definition: ImageDefinition, project: Path | None, target: Path) -> StagedFlake:
    """Copy the image's flake to the new directory ``target``, with the site and the project's own locks.

    ``project`` is the path of ``imagekit.toml``, ``None`` for the built-in project. Raises :class:`DefinitionInvalid`
    for a flake that is too large or leads out of its directory.
    """
    source = find_flake(definition)
    total = 0
    for count, path in enumerate(list_sources(source, own=definition.nix.flake is None)):
        total += _copy(source, path, target)
        if total > _LARGEST_FLAKE or count > _MOST_FILES:
            raise DefinitionInvalid(
                f"the flake in {source} is too large: more than {format_bytes(_LARGEST_FLAKE)} or {_MOST_FILES} files",
                hint="keep images and results out of its directory, or list them in .gitignore",
            )
    if definition.nix.flake is None and project is not None:
        locks = find_locks(project.parent)
        if (locks / "flake.lock").is_file():
            shutil.copyfile(locks / "flake.lock", target / "flake.lock")
        if (locks / "images.json").is_file():
            _override_pins(locks / "images.json", target / "nix" / "pihole" / "images.json")
    if definition.site is not None:
        (target / SITE_FILE).parent.mkdir(parents=True, exist_ok=True)
        (target / SITE_FILE).write_text(render_site(definition.site, definition.timezone))
    return StagedFlake(target, digest_flake(target))


def _override_pins(own: Path, bundled: Path) -> None:
    """Put the project's pins of containers over ours, one by one: a newer flake may have a container more.

    Raises :class:`DefinitionInvalid` when the project's file is not the object that it should be.
    """
    try:
        pins = json.loads(own.read_bytes())
        merged = {**json.loads(bundled.read_bytes()), **pins}
    except (OSError, ValueError, TypeError, RecursionError):
        raise DefinitionInvalid(
            f"{own} does not pin containers: it is no JSON object", hint="imagekit update writes it anew"
        ) from None
    bundled.write_text(json.dumps(merged, indent=2) + "\n")


def list_sources(source: Path, *, own: bool) -> Iterator[PurePosixPath]:
    """Yield the files of a flake, relative to its directory, sorted.

    In a git work tree they are those that git tracks or could (``git ls-files --exclude-standard``); elsewhere all but
    what is never a source. Of ``own``, our checkout, the Python program is no part of the flake's images.
    """
    names = sorted(_list_git(source) if (source / ".git").exists() else _walk(source))
    for name in names:
        path = PurePosixPath(name)
        if own and path.parts[0] not in _OWN:
            continue
        if _LEFT_OUT.intersection(path.parts) or path.suffix in _IMAGES or path.name == FILE_NAME:
            continue
        whole = source / path
        if str(path) != SITE_FILE and (whole.is_symlink() or not whole.is_dir()):  # a submodule is listed as one name
            yield path


def _list_git(source: Path) -> Iterator[str]:
    if not find_tool("git", required=False):
        yield from _walk(source)
        return
    # safe.directory: the files are only listed, and whoever owns them, nothing of theirs is run
    said = run(
        ["git", "-c", f"safe.directory={source}", "-c", "core.fsmonitor=false", "-C", os.fspath(source), "ls-files",
         "-z", "--cached", "--others", "--exclude-standard"],
    )  # fmt: skip
    for name in said.output.split(b"\0"):
        if name and os.path.lexists(source / os.fsdecode(name)):  # removed and not yet committed
            yield os.fsdecode(name)


def _walk(source: Path) -> Iterator[str]:
    for directory, names, files in os.walk(source):
        names[:] = [name for name in names if name not in _LEFT_OUT]
        links = [name for name in names if Path(directory, name).is_symlink()]
        for name in (*files, *links):
            if not (name.startswith("result") and Path(directory, name).is_symlink()):  # nix build's, into the store
                yield os.path.relpath(os.path.join(directory, name), source)  # noqa: PTH118 - beside os.walk


def _copy(source: Path, path: PurePosixPath, target: Path) -> int:
    """Copy one file or link, and return its size; raises :class:`DefinitionInvalid` for what cannot be in a flake."""
    old, new = source / path, target / path
    new.parent.mkdir(parents=True, exist_ok=True)
    try:
        status = old.lstat()
        if stat.S_ISLNK(status.st_mode):
            if not old.resolve().is_relative_to(source.resolve()):
                raise DefinitionInvalid(
                    f"{old} leads out of the flake", hint="copy what it leads to into the flake's directory"
                )
            new.symlink_to(old.readlink())
            return 0
        if not stat.S_ISREG(status.st_mode):
            raise DefinitionInvalid(f"{old} is no file, so it cannot be part of a flake")
        if status.st_size > _LARGEST_FILE:
            raise DefinitionInvalid(
                f"{old} has {format_bytes(status.st_size)}, which is no source of a flake",
                hint="keep it out of the flake's directory, or list it in .gitignore",
            )
        shutil.copyfile(old, new)
        new.chmod(0o755 if status.st_mode & stat.S_IXUSR else 0o644)
    except OSError as problem:
        raise DefinitionInvalid(f"{old} cannot be read: {problem.strerror}") from None
    return status.st_size


def digest_flake(directory: Path) -> str:
    """Return the SHA-256 over every file's name, kind and bytes, which is the same wherever the flake lies."""
    total = hashlib.sha256()
    for path in sorted(directory.rglob("*"), key=lambda each: each.relative_to(directory).as_posix()):
        name = path.relative_to(directory).as_posix()
        if path.is_symlink():
            kind, body = "l", os.fsencode(path.readlink())
        elif path.is_file():
            kind, body = ("x" if path.stat().st_mode & stat.S_IXUSR else "f"), path.read_bytes()
        else:
            continue
        total.update(f"{kind} {len(name.encode())} {name} {len(body)}\n".encode())
        total.update(body)
    return total.hexdigest()
