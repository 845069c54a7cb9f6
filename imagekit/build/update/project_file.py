"""New checksums in ``imagekit.toml``, with everything else in it as its author wrote it: comments, order, line ends."""

import tomllib
from collections.abc import Mapping, MutableMapping

from imagekit.errors import DefinitionInvalid

_BOM = b"\xef\xbb\xbf"


def set_checksums(data: bytes, checksums: Mapping[tuple[str, str], str]) -> bytes:
    """Return the file with ``sha256`` of each ``(image, "disk" or "iso")`` set.

    Raises :class:`DefinitionInvalid` when one of them has no ``sha256`` of its own there, or when editing would change
    anything else.
    """
    import tomlkit  # here: 50 ms, and most updates change no media
    from tomlkit.exceptions import ParseError

    mark, text = (_BOM, data[len(_BOM) :]) if data.startswith(_BOM) else (b"", data)
    try:
        document = tomlkit.parse(text.decode())
        wanted = tomllib.loads(text.decode().replace("\r\n", "\n"))
    except (ParseError, tomllib.TOMLDecodeError, UnicodeDecodeError) as problem:
        raise DefinitionInvalid(f"imagekit.toml cannot be edited: {problem}") from None
    for (image, kind), checksum in checksums.items():
        for whole in (document, wanted):
            table: object = whole
            for key in ("images", image, "packer", kind):
                table = table.get(key) if isinstance(table, Mapping) else None
            if not isinstance(table, MutableMapping) or "sha256" not in table:
                raise DefinitionInvalid(f"images.{image}.packer.{kind} has no sha256 that could be changed")
            table["sha256"] = checksum
    edited = tomlkit.dumps(document)
    if tomllib.loads(edited.replace("\r\n", "\n")) != wanted:
        raise DefinitionInvalid("imagekit.toml cannot be edited without changing more than the checksum")
    return mark + edited.encode()
