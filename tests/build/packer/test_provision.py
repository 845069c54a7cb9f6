"""The scripts that run in the machine: plain POSIX shell, without what shellcheck knows to go wrong."""

import os
import re
from pathlib import Path

import pytest

from imagekit.build.packer.answers import BUILD_USER
from imagekit.build.packer.choose import Start
from imagekit.build.packer.own_templates import find_own_template
from imagekit.build.packer.payload import write_payload
from imagekit.definition.model import ImageDefinition
from imagekit.host import run

_SCRIPTS = sorted((find_own_template("qemu").parent / "provision").glob("*.sh"))


def test_there_are_scripts() -> None:
    """What the templates name is there."""
    assert [script.name for script in _SCRIPTS] == ["apply.sh", "finish.sh"]


@pytest.mark.parametrize("script", _SCRIPTS, ids=lambda script: script.name)
def test_script_is_plain_shell(script: Path) -> None:
    """Debian's sh reads each script, and shellcheck has no word about it; Alpine's is no more than that."""
    assert script.read_text().startswith("#!/bin/sh\n")
    for argv in (["dash", "-n"], ["shellcheck", "--shell=sh"]):
        said = run([*argv, os.fspath(script)], check=False)
        assert (said.status, said.output.decode(), said.errors) == (0, "", "")


@pytest.mark.parametrize("script", _SCRIPTS, ids=lambda script: script.name)
def test_script_stops_at_the_first_failure(script: Path) -> None:
    """A step that fails ends the script, and with it the build; an unset variable is a failure."""
    first = next(line for line in script.read_text().splitlines() if not line.startswith("#"))
    assert first == "set -eu"


def test_apply_reads_all_of_the_payload(tmp_path: Path) -> None:
    """Every document of the payload is read by apply.sh, under the name that it has there."""
    write_payload(tmp_path / "payload.tar", ImageDefinition(name="web"), Start.LOCAL_DISK)
    names = run(["tar", "--list", "--file", os.fspath(tmp_path / "payload.tar")]).output.decode().split()
    read = set(re.findall(r"\$payload\"?/([\w.]+)", _SCRIPTS[0].read_text()))
    assert set(names) | {"debs"} == read


def test_account_of_a_build_is_the_one_that_finish_removes() -> None:
    """Both templates hand the account that the seed makes to the script that removes it."""
    assert BUILD_USER not in _SCRIPTS[1].read_text()
    for name in ("qemu", "proxmox"):
        text = (find_own_template(name) / "build.pkr.hcl").read_text()
        last = text.rindex('provisioner "')
        assert "provision/finish.sh" in text[last:]
        assert 'environment_vars  = ["BUILD_USER=${var.ssh_username}"]' in text[last:]
