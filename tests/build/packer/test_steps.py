"""Packer's sentences as steps with times."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imagekit.build.packer.steps import CLEANING, STARTING, StepClock, StepTime, name_step, strip_prefix


@pytest.mark.parametrize(
    ("line", "name"),
    [
        ("==> qemu.template: Retrieving ISO", "fetching the boot medium"),
        ("==> qemu.template: Creating CD disk...", "making the seed CD"),
        ("==> qemu.template: Resizing hard drive...", "preparing the disk"),
        ("==> qemu.template: Starting VM, booting disk image", "starting the machine"),
        ("==> qemu.template: Waiting 5s for boot...", "waiting for the boot menu"),
        ("==> qemu.template: Typing the boot commands over VNC...", "typing the boot command"),
        ("==> qemu.template: Using SSH communicator to connect: 127.0.0.1", "waiting for SSH"),
        ("==> qemu.template: Waiting for SSH to become available...", "waiting for SSH"),
        ("==> qemu.template: Connected to SSH!", "provisioning"),
        ("==> a.qemu.template: Provisioning with shell script: /a/b/10-docker.sh", "running 10-docker.sh"),
        ("==> qemu.template: Provisioning with shell script: /t/packer-shell12", "running an inline script"),
        ("==> qemu.template: Uploading payload.tar => /tmp/payload.tar", "uploading files"),
        ("==> qemu.template: Executing Ansible: ansible-playbook x", "running Ansible"),
        ("==> qemu.template: Gracefully halting virtual machine...", "shutting the machine down"),
        ("==> qemu.template: Converting hard drive...", "converting the disk"),
        ("==> qemu.template: Running post-processor:  (type manifest)", "post-processing (manifest)"),
        ("==> proxmox-iso.template: Creating VM", "creating the machine"),
        ("==> proxmox-iso.template: Converting VM to template", "making it a template"),
        ("==> proxmox-iso.template: Deleting VM", CLEANING),
        ("    qemu.template: Deleting output directory...", CLEANING),
        ("==> qemu.template: hello", ""),
        ("==> qemu.template: see: Connected to SSH!", ""),
        ("", ""),
    ],
)
def test_sentences_name_steps(line: str, name: str) -> None:
    """What builders, provisioners and post-processors announce is a step; other text is none."""
    assert name_step(strip_prefix(line)) == name


def test_times_are_kept() -> None:
    """Each step has its time; one that is announced again in a row goes on; the running one counts until now."""
    now = 100.0
    clock = StepClock(lambda: now)
    now = 101.0
    assert clock.enter("one")
    now = 103.0
    assert not clock.enter("one")
    now = 106.0
    assert clock.enter(CLEANING)
    now = 107.0
    assert clock.failed == "one"
    assert clock.measure() == 1.0
    assert clock.list_times() == (StepTime(STARTING, 1.0), StepTime("one", 5.0), StepTime(CLEANING, 1.0))


def test_steps_are_bounded() -> None:
    """A guest that prints announcements for ever makes no endless list."""
    clock = StepClock()
    for number in range(5000):
        clock.enter(str(number))
    assert len(clock.list_times()) < 600


@given(st.text())
def test_any_line_is_some_step(line: str) -> None:
    """No text breaks the reading, and a name is short and clean."""
    name = name_step(strip_prefix(line))
    assert len(name) < 100
    assert "\x1b" not in name
