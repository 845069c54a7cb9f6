"""What an expression of a template comes to, as far as the template and the given values say it."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

from imagekit.build.packer import hcl
from imagekit.build.packer.hcl import Computed, Expression, Joined, Keyed, Listed, Literal, Reference
from imagekit.build.packer.values import UNKNOWN, Value, is_scalar, write_scalar
from imagekit.errors import DefinitionInvalid

_MAX_DEPTH = 100  # how deep expressions and chains of locals may go
_MAX_STEPS = 200_000
_MAX_CHARACTERS = 16 << 20


@dataclass(slots=True)
class Scope:
    """What names mean while a template is computed."""

    variables: Mapping[str, Value]
    locals: Mapping[str, Expression]
    directory: Path
    _steps: int = 0
    _characters: int = 0
    _variables: dict[str, frozenset[str]] = field(default_factory=dict)
    _written: dict[str, bool] = field(default_factory=dict)

    def compute(self, expression: Expression, depth: int = 0) -> Value:
        """Return the value of an expression, :data:`UNKNOWN` where only Packer can compute it."""
        if depth > _MAX_DEPTH:
            return UNKNOWN
        self._steps += 1
        if self._steps > _MAX_STEPS or self._characters > _MAX_CHARACTERS:
            # Locals that double each other would fill the memory of the machine.
            raise DefinitionInvalid(f"what the template in {self.directory} says grows beyond any use")
        match expression:
            case Literal(value):
                return value
            case Joined(parts):
                values = [self.compute(part, depth + 1) for part in parts]
                if not all(is_scalar(value) for value in values):
                    return UNKNOWN
                text = "".join(map(write_scalar, values))
                self._characters += len(text)
                return text
            case Listed(items):
                return tuple(self.compute(item, depth + 1) for item in items)
            case Keyed(items):
                pairs = [(self._compute_key(key, depth), self.compute(value, depth + 1)) for key, value, _ in items]
                known = {key: value for key, value in pairs if isinstance(key, str)}
                return MappingProxyType(known) if len(known) == len(pairs) else UNKNOWN
            case Reference(path):
                return self._look_up(path, depth)
        return UNKNOWN

    def _compute_key(self, key: Expression, depth: int) -> Value:
        if isinstance(key, Reference) and len(key.path) == 1:
            return key.path[0]
        value = self.compute(key, depth + 1)
        return write_scalar(value) if is_scalar(value) else UNKNOWN

    def _look_up(self, path: tuple[str, ...], depth: int) -> Value:
        match path:
            case ("var", name, *rest):
                value = self.variables.get(name, UNKNOWN)
            case ("local", name, *rest) if name in self.locals:
                value = self.compute(self.locals[name], depth + 1)
            case ("path", "root"):
                return os.fspath(self.directory)
            case _:
                return UNKNOWN
        for step in rest:
            match value:
                case Mapping() if step in value:
                    value = value[step]
                case tuple() if len(step) < 5 and step.isdecimal() and int(step) < len(value):
                    value = value[int(step)]
                case _:
                    return UNKNOWN
        return value

    def list_variables(self, expression: Expression, depth: int = 0) -> frozenset[str]:
        """Return the variables that an expression is made of, through locals."""
        found: set[str] = set()
        for reference in hcl.list_references(expression):
            match reference.path:
                case ("var", name, *_):
                    found.add(name)
                case ("local", name, *_) if name in self.locals and depth < _MAX_DEPTH:
                    if name not in self._variables:
                        self._variables[name] = self.list_variables(self.locals[name], depth + 1)
                    found |= self._variables[name]
        return frozenset(found)

    def is_written(self, expression: Expression, depth: int = 0) -> bool:
        """Say whether an expression is made of nothing but the template's own text, through locals."""
        if depth > _MAX_DEPTH or isinstance(expression, Computed):
            return False
        if isinstance(expression, Joined | Listed):
            parts = expression.parts if isinstance(expression, Joined) else expression.items
            return all(self.is_written(part, depth + 1) for part in parts)
        if isinstance(expression, Reference):
            match expression.path:
                case ("local", name) if name in self.locals:
                    if name not in self._written:
                        self._written[name] = self.is_written(self.locals[name], depth + 1)
                    return self._written[name]
            return False
        return isinstance(expression, Literal)
