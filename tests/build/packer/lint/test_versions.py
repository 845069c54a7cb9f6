"""Constraints on versions mean here what they mean to Packer."""

import pytest

from imagekit.build.packer.lint.versions import Version, allows_above, find_lowest, is_readable


@pytest.mark.parametrize(
    ("constraint", "lowest"),
    [
        ("", (0, 0, 0)),
        ("1.2.3", (1, 2, 3)),
        ("= 1.2", (1, 2, 0)),
        (">= 1.2.2, < 2.0", (1, 2, 2)),
        ("< 2.0.0", (0, 0, 0)),
        ("~> 1.2", (1, 2, 0)),
        ("!= 1.2.0", (0, 0, 0)),
        ("> v1.2.1", (1, 2, 1)),
        ("nonsense", (0, 0, 0)),
    ],
)
def test_lowest_version(constraint: str, lowest: Version) -> None:
    """The lower end of what is allowed is found."""
    assert find_lowest(constraint) == lowest


@pytest.mark.parametrize(
    ("constraint", "allows"),
    [
        ("", True),
        (">= 1.0", True),
        ("1.1.1", False),
        ("= 1.1.2", True),
        ("<= 1.1.1", False),
        ("< 1.1.2", False),
        ("< 1.1.3", True),
        ("~> 1.1.0", True),
        ("~> 1.0.0", False),
        ("~> 1.0", True),
        (">= 1.0, < 1.1.2", False),
    ],
)
def test_versions_above(constraint: str, allows: bool) -> None:
    """It is known whether anything later than a version is allowed."""
    assert allows_above(constraint, (1, 1, 1)) is allows


def test_what_is_no_constraint() -> None:
    """Constraints are told from other words."""
    assert is_readable(">= 1.2.2, != 1.2.3")
    assert not is_readable("latest")
    assert not is_readable("1.2.x")
