"""Templates become text, strictly."""

import pytest

from imagekit.build.render import render_template
from imagekit.errors import DefinitionInvalid


def test_values_reach_the_text() -> None:
    """Values stand where the template says, and nothing is escaped: these are no HTML pages."""
    text = render_template("fstab", root_uuid="a&b", esp_id="1234-ABCD")
    assert text.splitlines()[1:] == [
        "UUID=a&b / ext4 rw,discard,errors=remount-ro 0 1",
        "UUID=1234-ABCD /boot/efi vfat umask=0077,nofail 0 0",
    ]
    assert text.endswith("\n")


def test_missing_value_is_an_error() -> None:
    """A value that was not given never becomes a blank."""
    with pytest.raises(DefinitionInvalid, match=r"template fstab needs a value: .*root_uuid"):
        render_template("fstab", esp_id="1234-ABCD")


def test_conditions_leave_no_blank_lines() -> None:
    """Lines with statements alone do not show."""
    text = render_template("hardening-nftables.conf", node_exporter=False)
    assert "\n\n\n" not in text
    assert "{%" not in text
