"""What the program says about itself, and what that costs."""

import importlib
import json
import sys
from pathlib import Path

import click
import pytest

from imagekit import __version__
from imagekit.cli import COMMANDS
from imagekit.host import run
from tests.cli.conftest import Program

_SLOW = ("paramiko", "sh", "jinja2", "tqdm", "msgspec", "yaml", "cryptography", "pycdlib", "asyncio", "ssl")
_ROOMS = ("build", "verify", "store", "deliver", "machine", "disk", "definition", "host", "pipeline", "settings")


def _find_command(name: str) -> click.Command:
    command = getattr(importlib.import_module(f"imagekit.cli.{COMMANDS[name][0]}"), name)
    assert isinstance(command, click.Command)
    return command


def test_help_lists_every_command(program: Program) -> None:
    """``imagekit --help`` shows each command with its line, on standard output, and the exit codes."""
    said = program("--help")
    assert said.errors == ""
    for name, (_module, line) in COMMANDS.items():
        assert f"  {name} " in said.output
        assert line in said.output
    assert "130 interrupted" in " ".join(said.output.split())


@pytest.mark.parametrize("name", COMMANDS)
def test_each_command_explains_itself(program: Program, name: str) -> None:
    """``COMMAND --help`` names every option and argument that the command takes, each option with a sentence."""
    said = program(name, "--help")
    assert said.errors == ""
    assert said.output.startswith(f"Usage: imagekit {name} ")
    for parameter in _find_command(name).params:
        if isinstance(parameter, click.Option) and parameter.hidden:
            continue
        if isinstance(parameter, click.Option):
            for option in (*parameter.opts, *parameter.secondary_opts):
                assert option in said.output
            assert parameter.help or parameter.name == "style", f"{parameter.name} has no help"
        else:
            assert parameter.make_metavar(click.Context(_find_command(name))).strip("[]") in said.output


@pytest.mark.parametrize("name", COMMANDS)
def test_line_of_the_table_is_the_commands_own(name: str) -> None:
    """The line in the list of commands begins with the verb of the command's docstring, and fits beside its name."""
    line = COMMANDS[name][1]
    described = _find_command(name).help or ""
    assert line.split()[0].strip(",") == described.split()[0]
    assert line.endswith(".")
    assert ". " not in line
    assert len(line) <= 66


def test_version_is_told(program: Program) -> None:
    """``imagekit --version`` prints the version."""
    assert program("--version").output == f"imagekit, version {__version__}\n"


def test_nothing_to_do_is_wrong_usage(program: Program) -> None:
    """Without a command the help is shown as a message, with the exit code for wrong usage."""
    said = program(status=2)
    assert said.output == ""
    assert "Commands:" in said.errors


@pytest.mark.parametrize("arguments", [["--help"], ["build", "--help"], ["clone", "--help"], ["--version"]])
def test_help_loads_nothing_slow(tmp_path: Path, arguments: list[str]) -> None:
    """Help needs click and nothing else: no slow library and no room but the command line's own."""
    program = (
        "import json, sys\n"
        "from imagekit.cli import run_cli\n"
        "status = run_cli(sys.argv[1:])\n"
        "print(json.dumps([int(status), sorted(sys.modules)]), file=sys.stderr)"
    )
    said = run([sys.executable, "-c", program, *arguments], directory=Path(__file__).parents[2], timeout=60)
    status, modules = json.loads(said.errors.splitlines()[-1])
    assert status == 0
    assert "click" in modules
    slow = [name for name in _SLOW if name in modules]
    rooms = [name for name in _ROOMS if f"imagekit.{name}" in modules]
    assert (slow, rooms) == ([], [])


def test_clone_and_images_load_neither_builder_nor_checks(program: Program) -> None:
    """Commands that scripts call often do not pay for rooms that they do not enter."""
    code = "import sys, imagekit.pipeline, imagekit.deliver.local; print('\\n'.join(sys.modules))"
    said = run([sys.executable, "-c", code], directory=Path(__file__).parents[2], timeout=60)
    loaded = set(said.output.decode().split())
    assert "imagekit.store" in loaded
    assert not loaded & {"imagekit.build", "imagekit.verify", "paramiko", "cryptography", "sh", "jinja2", "pycdlib"}


def test_shell_completion_is_offered(program: Program) -> None:
    """The shell can ask for its script and for the words that may come next."""
    argv = [sys.executable, "-m", "imagekit"]
    asked = {"_IMAGEKIT_COMPLETE": "bash_complete", "COMP_WORDS": "imagekit pro", "COMP_CWORD": "1"}
    said = run(argv, environment=asked, directory=Path(__file__).parents[2], timeout=60, check=False)
    assert (said.status, said.output) == (0, b"plain,promote\n")
