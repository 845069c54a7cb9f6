"""JSON for the store's files, which must be writable whatever an image or an argument contained."""

from pathlib import PurePath

import msgspec

from imagekit.image import Digest, Reference, VersionId


def encode_json(value: object) -> bytes:
    """Return ``value`` as UTF-8 JSON on one line.

    Bytes that were no text (in names inside an image, in an argument) travel as lone surrogates, which UTF-8 refuses;
    they are written as ``\\udcXX``. Raises :class:`NotImplementedError` for a type that no definition can hold.
    """
    try:
        return msgspec.json.encode(value, enc_hook=encode_foreign)
    except UnicodeEncodeError:
        return msgspec.json.encode(_escape_surrogates(make_plain(value)))


def make_plain(value: object) -> object:
    """Return ``value`` as dicts, lists, text, numbers and None."""
    return msgspec.to_builtins(value, enc_hook=encode_foreign)


def encode_foreign(value: object) -> object:
    """Return text for the values of a definition that JSON does not have: paths, and our own ids."""
    if isinstance(value, PurePath | VersionId | Digest | Reference):
        return str(value)
    raise NotImplementedError(f"{type(value).__name__} cannot be written as JSON")


def _escape_surrogates(value: object) -> object:
    match value:
        case str():
            return value.encode(errors="backslashreplace").decode()
        case dict():
            return {_escape_surrogates(key): _escape_surrogates(item) for key, item in value.items()}
        case list() | tuple():
            return [_escape_surrogates(item) for item in value]
        case _:
            return value
