"""The script that a person may run in the guest."""

from imagekit.host import run
from imagekit.verify import list_checks
from imagekit.verify.formats.fixes import render_fixes
from tests.verify.formats.sample import REPORT


def test_script_has_a_step_per_finding() -> None:
    """Commands stand ready with their path quoted; what a person must fill in is a comment."""
    lines = render_fixes(REPORT).splitlines()
    assert lines[0] == "#!/bin/sh"
    assert ": > /etc/machine-id" in lines
    assert "rm -rf '/tmp/a'\"'\"'; reboot; '\"'\"''" in lines
    assert "# do: `userdel -rf USER`" in lines


def test_hostile_path_never_becomes_a_command() -> None:
    """A path that cannot be shown is left to a person: no command has it."""
    commands = [line for line in render_fixes(REPORT).splitlines() if line and not line.startswith("#")]
    assert not any("x1b" in command for command in commands)


def test_every_command_of_the_checks_is_shell() -> None:
    """What the checks recommend in backticks can be read by a shell, whatever the path is."""
    commands = [command for check in list_checks() for command in check.fix.split("`")[1::2]]
    assert len(commands) > 100
    script = "\n".join(command.replace('"$path"', "'/a b'") for command in commands)
    assert run(["sh", "-n"], stdin=script.encode()).errors == ""


def test_script_is_shell() -> None:
    """A shell can read it."""
    assert run(["sh", "-n"], stdin=render_fixes(REPORT).encode()).errors == ""
