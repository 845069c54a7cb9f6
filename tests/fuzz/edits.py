"""Changes to a seed for hypothesis: numbers at aligned places where the seed has content, cuts and repetitions."""

from dataclasses import dataclass

from hypothesis import strategies as st

_NUMBERS = (0, 1, 2, 7, 8, 0x7F, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 1 << 62, 1 << 63)
_BLOCK = 16


@dataclass(frozen=True)
class Edit:
    """Write ``value`` with ``width`` bytes at a place among those with content, counted round and round."""

    place: int
    width: int
    value: int
    big: bool


edits = st.lists(
    st.builds(
        Edit,
        st.integers(0, 1 << 20),
        st.sampled_from((1, 1, 2, 4, 8)),
        st.one_of(st.sampled_from(_NUMBERS), st.integers(0, 255), st.integers(0, (1 << 64) - 1)),
        st.booleans(),
    ),
    min_size=1,
    max_size=6,
)
cuts = st.one_of(st.none(), st.none(), st.none(), st.integers(0, 1 << 20))


def find_content(seed: bytes) -> list[int]:
    """Return where a seed's blocks of 16 bytes with anything but zeros begin: what changes there is read."""
    empty = bytes(_BLOCK)
    return [at for at in range(0, len(seed), _BLOCK) if not empty.startswith(seed[at : at + _BLOCK])]


def change(seed: bytes, places: list[int], made: list[Edit], cut: int | None) -> bytes:
    """Return the seed with the edits made, cut off at a place (of those with content) if there is a cut."""
    data = bytearray(seed)
    for edit in made:
        at = places[edit.place // _BLOCK % len(places)] + edit.place % _BLOCK // edit.width * edit.width
        value = (edit.value & (1 << 8 * edit.width) - 1).to_bytes(edit.width, "big" if edit.big else "little")
        data[at : at + edit.width] = value
    return bytes(data if cut is None else data[: places[cut % len(places)] + cut % _BLOCK])
