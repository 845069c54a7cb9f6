"""Definitions as JSON documents: for ``imagekit config --json``, and as the provenance of what was built from them."""

from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass
from datetime import date
from enum import StrEnum
from ipaddress import IPv4Address, IPv4Interface, IPv6Address
from pathlib import Path

from imagekit.definition.digests import digest_directory, digest_file
from imagekit.definition.image_table import find_tables
from imagekit.definition.model import ImageDefinition, Medium
from imagekit.definition.read import Project, list_value_keys, name_field
from imagekit.definition.toml_lines import format_key

SCHEMA_VERSION = 1


def describe_image(definition: ImageDefinition) -> dict[str, object]:
    """Return all of ``definition``, ready for JSON and the same wherever the project's directory is.

    A file beside ``imagekit.toml`` stands as its name and the SHA-256 of its bytes, a directory as its name and
    :func:`digest_directory`, a medium's file as its name alone, since its digest is the definition's own; sizes are
    bytes, modes are octal text. Raises :class:`DefinitionInvalid` when such a file cannot be read any more.
    """
    known = ("name", *find_tables(definition.kind)[""].keys)
    return {name: _describe(getattr(definition, name), name, _digest) for name in known}


def describe_project(project: Project) -> dict[str, object]:
    """Return every value of every image with its origin; ``schema_version`` is 1."""
    values = {}
    for name, definition in project.images.items():
        for key in list_value_keys(definition.kind):
            value: object = definition
            for part in key:
                value = getattr(value, name_field(str(part)), None)  # None: the table [promtail] is not there
            dotted = format_key(("images", name, *key))
            described = _describe(value, str(key[-1]), _digest if key == ("files",) else str)
            values[dotted] = {"value": described, "origin": project.origins[dotted]}
    path = None if project.path is None else str(project.path)
    return {"schema_version": SCHEMA_VERSION, "path": path, "values": values}


def _describe(value: object, key: str, describe_path: Callable[[Path], object]) -> object:
    if isinstance(value, Medium):
        # its digest is the definition's own, and reading gigabytes would tell no more; the builder checks it
        path = value.path if value.path is None or describe_path is not _digest else value.path.name
        return {"sha256": value.sha256, "path": path and str(path), "url": value.url, "volume": value.volume}
    if is_dataclass(value):
        return {field.name: _describe(getattr(value, field.name), field.name, describe_path) for field in fields(value)}
    if isinstance(value, tuple | list):
        return [_describe(item, key, describe_path) for item in value]
    if isinstance(value, Mapping):
        return {name: _describe(value[name], "", describe_path) for name in sorted(value)}
    if isinstance(value, StrEnum):
        return value.value
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, IPv4Interface | IPv4Address | IPv6Address):
        return str(value)
    if isinstance(value, Path):
        # a flake may lie beside gigabytes of old images; what it is made of is digested when it is staged
        return {"name": value.name} if key == "flake" and describe_path is _digest else describe_path(value)
    if isinstance(value, int) and key == "mode":
        return f"{value:04o}"
    return value


def _digest(path: Path) -> object:
    digest = digest_directory(path) if path.is_dir() else digest_file(path)
    return {"name": path.name, "sha256": digest}
