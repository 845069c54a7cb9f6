"""Start-up: `imagekit --help` against importing click and nothing else.

What is compared
  imagekit --help    a whole process that prints the list of commands.
  import click       `python -c 'import click'` with the same interpreter: what any click program pays at least.

An untimed run of each comes first, so that compiled modules and the page cache are there.
"""

import sys

from measure import Aim, divide_medians, make_parser, report, require_tools, run_benchmark, time_commands

RATIO_AIM = 1.6


def main() -> int:
    """Run the benchmark; 0 when the aim is met."""
    arguments = make_parser(__doc__, rounds=21).parse_args()
    return run_benchmark(lambda: compare(arguments.rounds))


def compare(rounds: int) -> int:
    """Measure whole processes."""
    require_tools(("bash", "bash"))
    commands = {
        "imagekit --help": [sys.executable, "-m", "imagekit", "--help"],
        "import click": [sys.executable, "-c", "import click"],
    }
    time_commands(commands, 1)
    ours, theirs = time_commands(commands, rounds).values()
    return report([ours, theirs], [Aim("imagekit --help / import click", divide_medians(ours, theirs), RATIO_AIM)])


if __name__ == "__main__":
    raise SystemExit(main())
