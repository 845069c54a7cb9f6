"""Checks that are nothing but a table: places that hold a machine's identity, looked up row by row."""

from collections.abc import Iterator, Sequence

from imagekit.verify.check import Find, Policy, Profile, Seen
from imagekit.verify.facts.machine_state import find_places
from imagekit.verify.facts.state_rows import Row
from imagekit.verify.view import View

# A machine that runs is meant to be enrolled: these checks are about what will be copied.
COPIED = (Profile.TEMPLATE, Profile.SD_IMAGE, Profile.CONTAINER)


def look_for_rows(rows: Sequence[Row], looks: str) -> Find:
    """Return the function of a check that is nothing but ``rows``; ``looks`` says in a sentence what it looks for."""

    def find(view: View, _policy: Policy) -> Iterator[Seen]:
        for place in find_places(view, rows):
            yield Seen(place.path, place.found, place.row.severity, place.row.fix or '`rm -rf "$path"`')

    find.__doc__ = looks
    return find
