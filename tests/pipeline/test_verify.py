"""What verification is told about an image before it boots its clones."""

from pathlib import Path

import pytest

from imagekit.host import run
from imagekit.pipeline.verify import read_default_user
from tests.verify.clean_tree import ROOT_OFFSET


@pytest.mark.parametrize(
    ("written", "user"),
    [
        ("ID=debian\n", "debian"),
        ('NAME="Ubuntu"\nID=ubuntu\nID_LIKE=debian\n', "ubuntu"),
        ('ID="alpine"\n', "alpine"),
        ("ID=root; rm -rf /\n", "debian"),
        ("", "debian"),
    ],
)
def test_default_user_is_the_distributions(written: str, user: str, clean_disk: Path, tmp_path: Path) -> None:
    """Clones are entered as the account that the distribution's cloud-init makes; any other word is not believed."""
    disk, given = tmp_path / "disk.raw", tmp_path / "os-release"
    disk.write_bytes(clean_disk.read_bytes())
    given.write_text(written)
    script = f"rm /etc/os-release\nwrite {given} /etc/os-release\n"
    run(["debugfs", "-w", "-f", "-", f"{disk}?offset={ROOT_OFFSET}"], stdin=script.encode())
    assert read_default_user(disk) == user
