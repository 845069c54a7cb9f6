"""Steps for the progress: told by what Vagrant and the providers say."""

import pytest

from imagekit.build.vagrant.machine_readable import parse_output
from imagekit.build.vagrant.steps import (
    BOOTING,
    BOX,
    HALTING,
    MAKING,
    PREPARING,
    REMOVING,
    name_step,
    read_download,
    strip_prefix,
)
from tests.build.vagrant.stand_in import RECORDED


def _list_steps(recording: str) -> list[str]:
    steps: list[str] = []
    for line in parse_output((RECORDED / f"{recording}.txt").read_bytes()):
        if line.kind == "ui" and (step := name_step(strip_prefix(line.data[1]))) and [step] != steps[-1:]:
            steps.append(step)
    return steps


@pytest.mark.parametrize(
    ("recording", "steps"),
    [
        ("up-first", [MAKING, BOOTING, PREPARING]),
        ("up-stopped", [BOOTING, PREPARING]),
        ("up-running", [PREPARING]),
        ("up-no-network", [MAKING, REMOVING]),
        ("up-no-box", [BOX]),
        ("halt", [HALTING]),
        ("destroy", [REMOVING]),
    ],
)
def test_recorded_steps(recording: str, steps: list[str]) -> None:
    """What a real Vagrant with libvirt said gives these steps in this order."""
    assert _list_steps(recording) == steps


@pytest.mark.parametrize(
    ("said", "step"),
    [
        ("Cloning VMware VM: 'bento/debian-13'. This can take some time...", MAKING),
        ("Importing base box 'bento/debian-13'...", MAKING),
        ("Booting VM...", BOOTING),
        ("Starting the VMware VM...", BOOTING),
        ("Waiting for the VM to receive an address...", BOOTING),
        ("Downloading: https://boxes.example/debian", BOX),
        ("Destroying VM and associated drives...", REMOVING),
        ("Forcing shutdown of VM...", HALTING),
        ("SSH address: 127.0.0.1:2222", ""),
    ],
)
def test_step_of_other_providers(said: str, step: str) -> None:
    """The words of VMware's and VirtualBox's providers are known too."""
    assert name_step(said) == step


def test_download_is_read() -> None:
    """A box's download says how far it is; anything else is no download."""
    said = "Progress: 37% (Rate: 11.2M/s, Estimated time remaining: 0:01:02)"
    assert read_download(said) == (37, "11.2M/s, 0:01:02 left")
    assert read_download("Progress: much") is None
