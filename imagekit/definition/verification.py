"""Readers of ``[images.NAME.verify]``: what verification lets pass, how bad a finding is, what else is forbidden."""

import re
from datetime import date, datetime

from imagekit.definition.model import SeverityOverride
from imagekit.definition.problems import Wrong, name_type, quote
from imagekit.definition.values import CONTROL, Scope, read_choice, read_text
from imagekit.report import Severity

_CHECK_ID = re.compile(r"[a-z0-9]+(?:-[a-z0-9]+){0,8}")
_SHORTEST_TEXT = 4
_LONGEST_TEXT = 200
_SEVERITIES = {severity.value: severity for severity in Severity}


def read_check_id(value: object, scope: Scope) -> str:
    """Return what can be a check's id; whether there is such a check is known to the checks alone."""
    text = read_text(value, scope)
    if not _CHECK_ID.fullmatch(text):
        raise Wrong(f"{quote(text)} cannot be a check's id; imagekit verify --list-checks shows them")
    return text


def read_reason(value: object, scope: Scope) -> str:
    """Return why something is let pass: one line that says something."""
    text = read_text(value, scope).strip()
    if not text or CONTROL.search(text):
        raise Wrong("a reason is one line of text")
    return text


def read_pattern(value: object, scope: Scope) -> str:
    """Return an absolute path in the image, ``*`` and ``?`` standing for parts of it."""
    text = read_text(value, scope)
    if not text.startswith("/") or CONTROL.search(text) or ".." in text.split("/") or len(text) > _LONGEST_TEXT:
        raise Wrong(f"{quote(text)} is not an absolute path in the image")
    return text


def read_finding_path(value: object, scope: Scope) -> str:
    """Return the path that a finding names; not every finding is about a file, so any line of text will do."""
    text = read_text(value, scope)
    if not text or CONTROL.search(text) or len(text) > _LONGEST_TEXT:
        raise Wrong("expected the path that the finding names")
    return text


def read_forbidden_text(value: object, scope: Scope) -> str:
    """Return a text that no file may contain; a very short one would be everywhere."""
    text = read_text(value, scope)
    if not _SHORTEST_TEXT <= len(text) <= _LONGEST_TEXT or CONTROL.search(text):
        raise Wrong(f"expected {_SHORTEST_TEXT} to {_LONGEST_TEXT} characters on one line")
    return text


def read_day(value: object, _scope: Scope) -> date:
    """Return a TOML date."""
    if isinstance(value, datetime) or not isinstance(value, date):
        raise Wrong(f"expected a date such as 2027-01-31 without quotes, found {name_type(value)}")
    return value


def read_severities(value: object, scope: Scope) -> tuple[SeverityOverride, ...]:
    """Return the severity for each check id of a table."""
    if not isinstance(value, dict):
        raise Wrong(f"expected a table of check ids, found {name_type(value)}")
    read, found = read_choice(_SEVERITIES), []
    for key, element in value.items():
        place = scope.enter(key)
        try:
            found.append(SeverityOverride(read_check_id(key, place), read(element, place)))
        except Wrong as problem:
            scope.problems.add(place.path, str(problem))
    return tuple(found)
