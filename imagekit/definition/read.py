"""From a directory to a project: which ``imagekit.toml`` counts, what it defines, where each value is from."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from imagekit.definition.cluster_table import ClusterTable
from imagekit.definition.image_table import find_tables
from imagekit.definition.model import ImageDefinition, Kind, make_sd_image
from imagekit.definition.parse import parse_project
from imagekit.definition.problems import suggest
from imagekit.definition.toml_file import TomlFile, read_toml
from imagekit.definition.toml_lines import KeyPath, format_key
from imagekit.errors import DefinitionInvalid

FILE_NAME = "imagekit.toml"
DEFAULT_IMAGE = "template"
DEFAULT_CARD = "pihole"
_WHOLE = ("files", "users")  # arrays of tables: one origin for all of their elements


@dataclass(frozen=True, slots=True)
class Project:
    """What can be built here.

    ``path`` is the file that was read, ``None`` for the built-in project; ``origins`` maps keys such as
    ``images.template.size`` to ``default`` or ``imagekit.toml:12``. ``cluster`` is the file's ``[cluster]``, with
    origins of its own.
    """

    path: Path | None
    images: dict[str, ImageDefinition]
    origins: dict[str, str]
    cluster: ClusterTable | None = None

    def find_image(self, name: str) -> ImageDefinition:
        """Return the image called ``name``; raises :class:`DefinitionInvalid` with the names that there are."""
        if name in self.images:
            return self.images[name]
        where = "the built-in project" if self.path is None else str(self.path)
        meant = suggest(name, self.images)
        names = ", ".join(sorted(self.images))
        raise DefinitionInvalid(
            f"{where} defines no image {name!r}" + (f"; did you mean {meant!r}?" if meant else ""),
            hint=f"it defines {names}" if names else f"add a table [images.{name}]",
        )


def read_project(start: Path) -> Project:
    """Read the ``imagekit.toml`` of directory ``start`` or the nearest one above it.

    Without one the project is built in and has the images ``template`` and ``pihole``. Raises
    :class:`DefinitionInvalid` with every mistake in the file.
    """
    path = find_definition_file(start)
    if path is None:
        images = {DEFAULT_IMAGE: ImageDefinition(DEFAULT_IMAGE), DEFAULT_CARD: make_sd_image(DEFAULT_CARD)}
        return Project(None, images, trace_origins(images, None))
    file = read_toml(path)
    images, cluster = parse_project(file, path)
    return Project(path, images, trace_origins(images, file), cluster)


def find_definition_file(start: Path) -> Path | None:
    """Return the nearest ``imagekit.toml`` at or above directory ``start``; raises :class:`DefinitionInvalid`."""
    start = start.resolve()
    for directory in (start, *start.parents):
        path = directory / FILE_NAME
        try:
            path.lstat()
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError as problem:  # going on upward could find another project's file
            raise DefinitionInvalid(f"{path} cannot be looked for: {problem.strerror}") from None
        return path
    return None


def list_value_keys(kind: Kind) -> Iterator[KeyPath]:
    """Yield each key of an image of ``kind`` that has one value and one origin, such as ``("base", "release")``."""
    tables = find_tables(kind)
    for key in tables[""].keys:
        if key in tables and key not in _WHOLE:
            yield from ((key, inner) for inner in tables[key].keys)
        else:
            yield (key,)


def name_field(key: str) -> str:
    """Return the name of the field that holds the value of ``key``."""
    return "variables" if key == "vars" else key  # a builtin's name


def trace_origins(images: dict[str, ImageDefinition], file: TomlFile | None) -> dict[str, str]:
    """Return where each value of ``images`` is from: ``default``, or a line of ``file``."""
    origins = {}
    for name, image in images.items():
        for key in list_value_keys(image.kind):
            path: KeyPath = ("images", name, *key)
            line = None if file is None else file.lines.get(path)
            origins[format_key(path)] = "default" if file is None or line is None else f"{file.name}:{line}"
    return origins
