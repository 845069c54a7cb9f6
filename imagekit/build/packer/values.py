"""What the settings of a template come to: values, blocks, and the one value that nobody here knows."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from types import MappingProxyType
from typing import Final, Literal, TypeAlias


class Unknown(Enum):
    """The one value that stands for whatever only Packer, the environment or the cluster knows."""

    UNKNOWN = "unknown"


UNKNOWN: Final = Unknown.UNKNOWN
Value: TypeAlias = (
    "str | int | float | bool | Literal[Unknown.UNKNOWN] | tuple[Value, ...] | Mapping[str, Value] | None"
)


@dataclass(frozen=True, slots=True)
class Setting:
    """One attribute of a block: what it comes to, where it stands, and the variables that it is made of."""

    value: Value
    file: str
    line: int
    variables: frozenset[str] = frozenset()
    written: bool = False  # made of nothing but what the template's own text says


@dataclass(frozen=True, slots=True)
class Block:
    """A block; ``dynamic`` names the kinds of blocks that may come out of ``dynamic`` ones."""

    kind: str
    labels: tuple[str, ...]
    file: str
    line: int
    settings: Mapping[str, Setting] = field(default_factory=dict)
    blocks: tuple["Block", ...] = ()
    dynamic: frozenset[str] = frozenset()

    def get(self, name: str) -> Value:
        """Return what ``name`` comes to; ``None`` when it is left out, null or an empty string, as Packer has it."""
        setting = self.settings.get(name)
        return None if setting is None or setting.value == "" else setting.value

    def read_text(self, name: str, default: str | None = None) -> str | None:
        """Return a text, the default when it is left out, ``None`` when it is not known (or there is no default)."""
        value = self.get(name)
        match value:
            case None:
                return default
            case bool():
                return "true" if value else "false"
            case str():
                return value
            case int() | float():
                return str(value)
        return None

    def read_number(self, name: str, default: int | None = None) -> int | None:
        """Return a whole number, written as one or as text, else as :meth:`read_text` does."""
        text = self.read_text(name, None if default is None else str(default))
        if text is None:
            return None
        try:
            return int(text)
        except ValueError:
            return None

    def read_flag(self, name: str, default: bool | None = None) -> bool | None:
        """Return a boolean, written as one or as text, else as :meth:`read_text` does."""
        text = self.read_text(name, None if default is None else str(default).lower())
        return {"true": True, "false": False, "1": True, "0": False}.get(text) if text is not None else None

    def read_texts(self, name: str) -> tuple[str, ...] | None:
        """Return the known texts of a list; empty when it is left out, ``None`` when the list itself is not known."""
        value = self.get(name)
        match value:
            case None:
                return ()
            case tuple():
                return tuple(item for item in value if isinstance(item, str))
        return None

    def lacks(self, name: str) -> bool:
        """Say whether ``name`` is certainly not set here."""
        return self.get(name) is None

    def has(self, name: str) -> bool:
        """Say whether ``name`` is certainly set, to whatever value."""
        setting = self.settings.get(name)
        return setting is not None and setting.value not in (None, "", UNKNOWN)

    def list_blocks(self, kind: str) -> tuple["Block", ...]:
        """Return the blocks of a kind inside this one."""
        return tuple(block for block in self.blocks if block.kind == kind)

    def lacks_block(self, kind: str) -> bool:
        """Say whether there is certainly no block of a kind inside this one."""
        return kind not in self.dynamic and not self.list_blocks(kind)


def freeze_value(value: object) -> Value:
    """Return a value of a JSON variable file as a value here."""
    match value:
        case None | str() | int() | float() | Unknown():
            return value
        case Mapping():
            return MappingProxyType({str(key): freeze_value(inner) for key, inner in value.items()})
        case list() | tuple():
            return tuple(freeze_value(inner) for inner in value)
    return UNKNOWN


def convert_value(value: Value, kind: str) -> Value:
    """Return a value as Packer converts it to a variable's type; what does not fit is for Packer to tell."""
    match kind, value:
        case "string", bool() | int() | float():
            return write_scalar(value)
        case "number", str():
            try:
                return int(value)
            except ValueError:
                return UNKNOWN
        case "bool", str():
            return {"true": True, "false": False, "1": True, "0": False}.get(value, UNKNOWN)
    return value


def is_scalar(value: Value) -> bool:
    """Say whether a value can stand inside a string."""
    return isinstance(value, str | int | float)


def write_scalar(value: Value) -> str:
    """Return a scalar as it stands inside a string."""
    return str(value).lower() if isinstance(value, bool) else str(value)
