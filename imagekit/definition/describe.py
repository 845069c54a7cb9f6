"""Definitions as JSON documents: for ``imagekit config --json``, and as the provenance of what was built from them."""

from dataclasses import fields, is_dataclass
from datetime import date
from enum import StrEnum
from pathlib import Path

from imagekit.definition.model import ImageDefinition
from imagekit.definition.read import Project, list_value_keys
from imagekit.definition.toml_lines import format_key
from imagekit.errors import DefinitionInvalid

SCHEMA_VERSION = 1


def describe_image(definition: ImageDefinition) -> dict[str, object]:
    """Return all of ``definition``, ready for JSON and the same wherever the project's directory is.

    A file beside ``imagekit.toml`` stands as its name and the SHA-256 of its bytes; sizes are bytes, modes are octal
    text. Raises :class:`DefinitionInvalid` when such a file cannot be read any more.
    """
    return {field.name: _describe(getattr(definition, field.name), field.name) for field in fields(definition)}


def describe_project(project: Project) -> dict[str, object]:
    """Return every value of every image with its origin; ``schema_version`` is 1."""
    values = {}
    for name, definition in project.images.items():
        for key in list_value_keys():
            value: object = definition
            for part in key:
                value = getattr(value, str(part), None)  # None: the table [promtail] is not there
            dotted = format_key(("images", name, *key))
            described = str(value) if isinstance(value, Path) else _describe(value, str(key[-1]))
            values[dotted] = {"value": described, "origin": project.origins[dotted]}
    path = None if project.path is None else str(project.path)
    return {"schema_version": SCHEMA_VERSION, "path": path, "values": values}


def _describe(value: object, key: str) -> object:
    if is_dataclass(value):
        return {field.name: _describe(getattr(value, field.name), field.name) for field in fields(value)}
    if isinstance(value, tuple):
        return [_describe(item, key) for item in value]
    if isinstance(value, StrEnum):
        return value.value
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, Path):
        return {"name": value.name, "sha256": _digest(value)}
    if isinstance(value, int) and key == "mode":
        return f"{value:04o}"
    return value


def _digest(path: Path) -> str:
    import hashlib  # here: OpenSSL takes 25 ms to load, and most definitions name no file

    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as problem:
        raise DefinitionInvalid(f"{path} cannot be read: {problem.strerror}") from None
