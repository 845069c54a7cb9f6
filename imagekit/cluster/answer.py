"""Reading Proxmox VE's answers, whose types are loose: numbers come as text, truth as 0 and 1, keys come and go."""

from collections.abc import Mapping

from imagekit.cluster.failures import ClusterFailed

Fields = Mapping[str, object]
_MOST_DIGITS = 20  # a count of bytes has 19 at most; int() of a very long text takes very long


def read_fields(answer: object, request: str) -> Fields:
    """Return an answer that has to be an object; raises :class:`ClusterFailed` when it is something else."""
    if not isinstance(answer, dict):
        raise ClusterFailed(f"{request} was not answered as Proxmox VE does: no object", said=type(answer).__name__)
    return answer


def read_rows(answer: object, request: str) -> tuple[Fields, ...]:
    """Return an answer that has to be a list of objects; raises :class:`ClusterFailed` when it is something else."""
    if not isinstance(answer, list) or not all(isinstance(row, dict) for row in answer):
        raise ClusterFailed(f"{request} was not answered as Proxmox VE does: no list", said=type(answer).__name__)
    return tuple(answer)


def read_text(fields: Fields, key: str) -> str:
    """Return a value as text; empty when it is missing or no plain value."""
    value = fields.get(key)
    return str(value) if isinstance(value, str | int | float) else ""


def read_number(fields: Fields, key: str) -> int | None:
    """Return a whole number that may be written as text; ``None`` when it is none."""
    value = fields.get(key)
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= _MOST_DIGITS:
        return int(value)
    return None


def read_flag(fields: Fields, key: str) -> bool:
    """Return a truth: 1, "1" or JSON's own."""
    return read_number(fields, key) == 1


def read_words(fields: Fields, key: str) -> tuple[str, ...]:
    """Return the parts of a list that PVE writes as text, divided by commas, semicolons or spaces (``a;b``)."""
    return tuple(read_text(fields, key).replace(",", " ").replace(";", " ").split())
