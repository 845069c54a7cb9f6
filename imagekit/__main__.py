"""The program: ``imagekit`` and ``python -m imagekit``."""

import sys


def main() -> None:
    """Run the command line and end the process with its exit code."""
    from imagekit.cli import run_cli

    sys.exit(run_cli(sys.argv[1:]))  # noqa: TID251 - the one place where the process ends


if __name__ == "__main__":
    main()
