"""How the core says where it is: a callback with one event. Only the command line knows that it becomes a bar."""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Event:
    """One sign of life.

    ``stage`` names the step in the operator's words ("installing packages"); ``done`` of ``total`` counts in
    ``unit``; ``total`` 0 means that the end is not known. A new stage ends the one before it. ``note`` is a sentence
    that a person should have seen before the step goes on: a choice that was made, a warning.
    """

    stage: str
    done: int = 0
    total: int = 0
    unit: str = ""
    detail: str = ""
    note: str = ""


Progress = Callable[[Event], None]


def silent(_event: Event) -> None:
    """Swallow the event: for callers that have nobody to tell."""
