"""The newest of a container's tags that is made like the one in use: no pre-release, no other flavour, never older."""

import re
from collections.abc import Iterable

_NUMBER = re.compile(r"\d+")
_LONGEST = 12


def choose_tag(current: str, tags: Iterable[str]) -> str:
    """Return the newest tag that reads like ``current``: the same text around as many numbers, which are not smaller.

    ``2025.08.0`` may become ``2025.10.1``, ``v5.8-alpine`` ``v6.0-alpine``; not ``2025.10.0-beta`` or ``nightly``. The
    first number may get one digit more, no more: ``16`` does not become ``20240101``. A tag without a number, such as
    ``latest``, moves by itself and stays.
    """
    numbers = _read_numbers(current)
    if not numbers:
        return current
    shape, width = _NUMBER.sub("#", current), len(_NUMBER.findall(current)[0])
    best = numbers, current
    for tag in tags:
        found = _read_numbers(tag)
        if _NUMBER.sub("#", tag) == shape and found and abs(len(_NUMBER.findall(tag)[0]) - width) <= 1:
            best = max(best, (found, tag), key=lambda each: each[0])
    return best[1]


def _read_numbers(tag: str) -> tuple[int, ...]:
    """Return the numbers in a tag; none of a commit's name or anything else that only happens to have digits."""
    found = _NUMBER.findall(tag)
    return tuple(int(each) for each in found) if all(len(each) <= _LONGEST for each in found) else ()
