"""Sizes as people write them: ``64M``, ``2G``; every suffix is a power of 1024."""

import re

_SIZE = re.compile(r"([0-9]{1,15})([KMGT]?)")
_FACTORS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}


def parse_size(text: str) -> int:
    """Return the bytes that ``text`` means; raises :class:`ValueError` when it is not a size."""
    match = _SIZE.fullmatch(text)
    if match is None:
        raise ValueError(f"not a size: {text!r}")
    return int(match.group(1)) * _FACTORS[match.group(2)]


def format_size(size_bytes: int) -> str:
    """Return the shortest text that :func:`parse_size` reads back as exactly ``size_bytes``."""
    for suffix in "TGMK":
        if size_bytes and size_bytes % _FACTORS[suffix] == 0:
            return f"{size_bytes // _FACTORS[suffix]}{suffix}"
    return str(size_bytes)
