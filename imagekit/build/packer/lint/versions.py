"""Constraints on versions as Packer reads them (hashicorp/go-version), as far as the lint asks about them."""

import re

Version = tuple[int, int, int]
_PART = re.compile(r"(>=|<=|~>|!=|>|<|=)?\s*v?(\d{1,9})(?:\.(\d{1,9}))?(?:\.(\d{1,9}))?(?:[-+][\w.+-]*)?")


def find_lowest(constraint: str) -> Version:
    """Return a version that no allowed one is below; (0, 0, 0) when there is no lower end."""
    lowest = [version for operator, version, _ in _read_parts(constraint) if operator in (">=", ">", "=", "", "~>")]
    return max(lowest, default=(0, 0, 0))


def allows_above(constraint: str, version: Version) -> bool:
    """Say whether a constraint allows any version above ``version``."""
    after = (version[0], version[1], version[2] + 1)
    for operator, named, parts in _read_parts(constraint):
        match operator:
            case "=" | "" | "<=":
                over = named > version
            case "<":
                over = named > after
            case "~>":
                end = (named[0], named[1] + 1, 0) if parts == 3 else (named[0] + 1, 0, 0)
                over = end > after
            case _:
                over = True
        if not over:
            return False
    return True


def is_readable(constraint: str) -> bool:
    """Say whether every part of a constraint is one."""
    return all(_PART.fullmatch(part.strip()) for part in constraint.split(","))


def _read_parts(constraint: str) -> list[tuple[str, Version, int]]:
    found = []
    for part in constraint.split(","):
        if match := _PART.fullmatch(part.strip()):
            numbers = [int(number) for number in match.groups()[1:] if number is not None]
            padded = (*numbers, 0, 0)
            found.append((match[1] or "", (padded[0], padded[1], padded[2]), len(numbers)))
    return found
