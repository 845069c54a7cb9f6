"""systemd units as links and files show them."""

from pathlib import Path

from imagekit.verify.directory_view import open_directory_view
from imagekit.verify.facts.units import find_unit, is_enabled
from tests.verify.clean_tree import link, remove, write

UNIT = "systemd-networkd.service"


def test_link_in_wants_enables(clean_tree: Path) -> None:
    """A unit that a target wants is started by boot."""
    with open_directory_view(clean_tree) as view:
        unit = find_unit(view, UNIT)
        assert unit is not None
        assert (unit.enabled, unit.masked) == (True, False)
        assert not is_enabled(view, "no-such.service")
        assert find_unit(view, "no-such.service") is None


def test_mask_beats_link(tree: Path) -> None:
    """A link to /dev/null masks, and so does an empty file, whatever wants the unit."""
    link(tree, f"/etc/systemd/system/{UNIT}", "/dev/null")
    write(tree, "/etc/systemd/system/ssh.service")
    with open_directory_view(tree) as view:
        for name in (UNIT, "ssh.service"):
            unit = find_unit(view, name)
            assert unit is not None
            assert (unit.enabled, unit.masked) == (False, True)


def test_alias_enables(tree: Path) -> None:
    """A link of another name to the unit is an alias made by ``systemctl enable``."""
    remove(tree, "/etc/systemd/system/multi-user.target.wants/ssh.service")
    with open_directory_view(tree) as view:
        assert is_enabled(view, "ssh.service")
