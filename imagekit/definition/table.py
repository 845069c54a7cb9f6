"""What a TOML table may hold and the noun that it becomes."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from imagekit.definition.lint import Contradiction
from imagekit.definition.problems import Wrong, name_type
from imagekit.definition.values import Reader, Scope


def _nothing(_made: Any) -> Iterator[Contradiction]:  # noqa: ANN401 - stands where each noun has its own function
    yield from ()


@dataclass(frozen=True, slots=True)
class Table:
    """What a TOML table may hold and the noun that it becomes.

    ``find`` yields that noun's contradictions; ``refused`` has a sentence for each key that people try and may not use.
    """

    make: Callable[..., Any]
    keys: Mapping[str, Reader]
    required: tuple[str, ...] = ()
    find: Callable[[Any], Iterator[Contradiction]] = _nothing
    refused: Mapping[str, str] = field(default_factory=dict)

    def read(self, value: object, scope: Scope, **fixed: object) -> Any:  # noqa: ANN401 - the noun of this table
        """Return the noun, or ``None`` when a required key has no usable value; raises :class:`Wrong`."""
        if not isinstance(value, dict):
            raise Wrong(f"expected a table, found {name_type(value)}")
        got: dict[str, Any] = {}
        for key, element in value.items():
            place = scope.enter(key)
            if key in self.refused:
                scope.problems.add(place.path, self.refused[key])
                continue
            if key not in self.keys:
                scope.problems.add_unknown_key(place.path, self.keys)
                continue
            try:
                got[key] = self.keys[key](element, place)
            except Wrong as problem:
                scope.problems.add(place.path, str(problem))
        for key in self.required:
            if key not in value:
                scope.problems.add(scope.path, f"{key} is missing")
        missing = {key: "" for key in self.required if key not in got}  # empty, to look for contradictions all the same
        made = self.make(**fixed, **got, **missing)
        for found in self.find(made):
            self._note(found, scope)
        return None if missing else made

    def _note(self, found: Contradiction, scope: Scope) -> None:
        """Take a contradiction down, unless it could come from the default of a value that was given but is wrong."""
        if not any(scope.problems.touches(scope.enter(*key.split(".")).path) for key in found.unless_broken):
            scope.problems.add(scope.enter(*found.at.split(".")).path if found.at else scope.path, found.sentence)
