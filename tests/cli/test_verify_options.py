"""verify's options: whose rules hold, how strict they are, in which form the report comes, and what is refused."""

import json
import os
from collections.abc import Mapping
from pathlib import Path

import pytest

from imagekit.host import run
from tests.cli.conftest import Program
from tests.verify.clean_tree import make_tree, write
from tests.verify.dirty.vm_config import CLEAN


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A clean tree, beside the directory that the program runs in."""
    return make_tree(tmp_path / "root")


def save(path: Path, values: Mapping[str, str]) -> Path:
    """Write a VM's configuration as pvesh prints it."""
    path.write_text(json.dumps(dict(values)))
    return path


def test_strict_fails_on_warnings(program: Program, root: Path) -> None:
    """A warning alone ends with 0, and with 5 when nothing may be left open."""
    write(root, "/var/tmp/left", "x")
    assert "warn  tmp-contents" in program("verify", os.fspath(root)).output
    program("verify", os.fspath(root), "--strict", status=5)


def test_strict_fails_on_what_was_not_seen(program: Program, root: Path, clean_disk: Path) -> None:
    """A directory cannot show its partitions, so it never passes strictly; the whole disk does."""
    program("verify", os.fspath(root), "--strict", status=5)
    program("verify", os.fspath(clean_disk), "--strict")


def test_image_brings_its_policy(program: Program, root: Path) -> None:
    """``--image`` judges a directory by what the definition beside allows, and by that alone."""
    write(root, "/var/tmp/left", "x")
    Path("imagekit.toml").write_text(
        '[images.web.verify]\nallow = [{check = "tmp-contents", reason = "made at first boot", until = 2999-01-01}]\n'
        'forbid_paths = ["/opt/*/build.log"]\n'
    )
    assert "allow tmp-contents" in program("verify", os.fspath(root), "--image", "web").output
    write(root, "/opt/a/build.log", "x")
    assert "forbidden-path" in program("verify", os.fspath(root), "--image", "web", status=5).output
    assert "forbidden-path" not in program("verify", os.fspath(root)).output


def test_policy_about_no_check_is_exit_3(program: Program, root: Path) -> None:
    """A misspelled check in the definition is the operator's mistake, with the one that was meant."""
    Path("imagekit.toml").write_text('[images.web.verify]\nallow = ["tmp-content"]\n')
    said = program("verify", os.fspath(root), "--image", "web", status=3)
    assert "tmp-contents" in said.errors


def test_profile_is_chosen(program: Program, root: Path) -> None:
    """A container has no kernel, so nobody asks for one."""
    document = program("verify", os.fspath(root), "--profile", "container", "--json").json()
    assert document["profile"] == "container"
    assert "kernel-files" not in document["checks"]
    assert "kernel-files" not in program("verify", "--list-checks", "--profile", "container").output


def test_fixes_are_a_script(program: Program, root: Path) -> None:
    """``--print-fix`` prints shell that mends what was found, and runs none of it."""
    write(root, "/etc/machine-id", "0123456789abcdef0123456789abcdef\n")
    said = program("verify", os.fspath(root), "--print-fix", status=5)
    assert ": > /etc/machine-id" in said.output.splitlines()
    run(["sh", "-n"], stdin=said.output.encode())
    assert (root / "etc/machine-id").read_text()


def test_markdown_is_for_a_job_summary(program: Program, root: Path) -> None:
    """The summary begins with the verdict."""
    write(root, "/etc/machine-id", "0123456789abcdef0123456789abcdef\n")
    assert program("verify", os.fspath(root), "--format", "markdown", status=5).output.startswith("### ❌ not fit")


def test_vm_configuration_is_a_target(program: Program, tmp_path: Path) -> None:
    """``vm:FILE`` lints a saved configuration."""
    clean = save(tmp_path / "9000.json", CLEAN)
    dirty = save(tmp_path / "9001.json", {**CLEAN, "agent": "0"})
    program("verify", f"vm:{clean}")
    assert "vm-agent-flag" in program("verify", f"vm:{dirty}", status=5).output


def test_vm_configurations_are_compared(program: Program, clean_disk: Path, tmp_path: Path) -> None:
    """Two VMs with one UUID are found, and the first is checked together with its disk."""
    first = save(tmp_path / "9000.json", CLEAN)
    second = save(tmp_path / "9001.json", CLEAN)
    document = program(
        "verify", os.fspath(clean_disk), "--vm-config", os.fspath(first), "--vm-config", os.fspath(second), "--json",
        status=5,
    ).json()  # fmt: skip
    assert {each["check"] for each in document["findings"]} == {"vm-identity"}
    assert "vm-firmware" in document["passed"]


@pytest.mark.parametrize(
    ("target", "status", "said"),
    [
        ("vm:9000", 3, "pvesh get"),
        ("vm:missing.json", 5, "cannot be read"),
        ("ssh://", 3, "SSH address"),
        ("ssh://me:canary@host", 3, "may not hold a password"),
        ("ssh://127.0.0.1:1", 8, "127.0.0.1"),
        ("/", 5, "machine that runs"),
        ("./missing.raw", 5, "missing.raw"),
    ],
)
def test_target_that_cannot_be_verified(program: Program, target: str, status: int, said: str) -> None:
    """Each mistake is a sentence with a stable exit code, and a password in it is not repeated."""
    errors = program("verify", target, status=status).errors
    assert said in errors
    assert "canary" not in errors


def test_boot_needs_a_disk(program: Program, root: Path) -> None:
    """A directory cannot be booted, and nobody is told that it was."""
    assert "--boot" in program("verify", os.fspath(root), "--boot", status=2).errors


def test_checks_are_listed_as_markdown(program: Program) -> None:
    """The list is the page of the documents."""
    assert program("verify", "--list-checks", "--format", "markdown").output.startswith("# The checks\n")
    program("verify", "--list-checks", "--format", "junit", status=2)
