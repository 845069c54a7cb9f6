"""The only room that prints, asks, or draws a bar: one short file for each group of commands.

Results go to standard output, everything else to standard error. A command's module is imported when the command is
called, so ``imagekit --help`` costs little more than click itself.
"""

import importlib
import io
import os
import signal
import sys
from collections.abc import Sequence
from types import FrameType

import click

from imagekit import __version__
from imagekit.errors import ExitCode, ImagekitError

# In the order of the flow: name → module, and the line that `imagekit --help` shows without importing it.
COMMANDS = {
    "init": ("definition", "Write a commented imagekit.toml to start from."),
    "config": ("definition", "Show the resolved definition and where each value is from."),
    "doctor": ("doctor", "Say what this machine can do, what is missing, and how to get it."),
    "build": ("build", "Build, verify, prove by booting, and store an image."),
    "vm": ("vm", "Run the VM that NixOS images are built in: up, status, ssh, halt."),
    "leftovers": ("leftovers", "List what dead and kept Packer builds left, or remove it."),
    "verify": ("verify", "Find what makes an image unfit to be cloned."),
    "images": ("store", "List images, or the versions of one."),
    "show": ("store", "Show one version."),
    "log": ("store", "Show how an image's channels moved."),
    "diff": ("diff", "Show what two images differ in: packages, kernel, sizes, inputs."),
    "promote": ("store", "Move a channel to a version."),
    "rollback": ("store", "Move a channel back to the version before."),
    "clone": ("clone", "Make a machine of a version, and wait until it is proven up."),
    "devices": ("flash", "List the disks of this machine, and which may be flashed."),
    "flash": ("flash", "Write an image to a card, and read it back."),
    "deploy": ("deploy", "Bring a new system to a running machine, or leave it as it was."),
    "update": ("update", "Move locked sources to their newest versions."),
}


class _Commands(click.Group):
    """The commands of the table above, imported one at a time."""

    def list_commands(self, _ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, _ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f"imagekit.cli.{COMMANDS[cmd_name][0]}")
        command = getattr(module, cmd_name)
        assert isinstance(command, click.Command)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            from difflib import get_close_matches

            close = get_close_matches(args[0], COMMANDS, n=1)
            meant = f" Did you mean {close[0]!r}?" if close else ""
            raise click.UsageError(f"there is no command {args[0]!r}.{meant}", ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, _ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_module, line) in COMMANDS.items()])


@click.group(
    cls=_Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="A first template: imagekit build template, then imagekit clone template web-1 --local. "
    "Exit codes: 0 done, 2 usage, 3 definition, 4 a tool failed, 5 verification failed, 6 store, 7 refused, "
    "8 host, 9 a tool is missing, 130 interrupted.",
)
@click.version_option(__version__, prog_name="imagekit")
def imagekit() -> None:
    """Build VM templates and SD images, prove them clean, keep them as versions, clone them.

    imagekit.toml says what to build; without one, `imagekit build template` makes a Debian 12 cloud-init template on
    this machine from Debian packages alone. With an SSH key in it, `imagekit build pihole` makes the SD image of a
    NixOS Pi-hole.
    """


def run_cli(arguments: Sequence[str]) -> int:
    """Run one command line; returns the exit code of :class:`imagekit.errors.ExitCode`, raises nothing but bugs.

    SIGTERM and SIGHUP end a run the way Ctrl-C does: by unwinding, so that machines, keys and working directories go.
    """
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:  # nohup(1) and shells ignore one for their child on purpose
            signal.signal(number, _interrupt)
    _tolerate_any_text()
    try:
        outcome = imagekit.main(args=list(arguments), prog_name="imagekit", standalone_mode=False)
    except ImagekitError as problem:
        from imagekit.cli.output import show_problem

        show_problem(problem)
        return problem.exit_code
    except (click.exceptions.Abort, KeyboardInterrupt):
        click.echo("interrupted", err=True)
        return ExitCode.INTERRUPTED
    except click.ClickException as problem:
        problem.show()
        return problem.exit_code
    except SystemExit as ended:
        # click ends by itself after shell completion, with its code, and when the reader of our output has gone
        # (`imagekit images | head`), with 1: that is no error of ours.
        return int(ended.code or 0) if "_IMAGEKIT_COMPLETE" in os.environ else ExitCode.DONE
    return outcome if isinstance(outcome, int) else ExitCode.DONE


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # once is enough; cleaning up shall not be interrupted by a repeat
    raise KeyboardInterrupt


def _tolerate_any_text() -> None:
    """Write what the locale or UTF-8 cannot say as an escape: a byte in a file's name is no reason to stop."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
