"""The program: ``imagekit`` and ``python -m imagekit``."""

import gc
import sys

# Nearly all objects of a run are code and tables that live to its end. Looking through them again each time 700 more
# have been made, as Python does unasked, takes a fifth of a short run.
_GARBAGE_THRESHOLD = 50_000


def main() -> None:
    """Run the command line and end the process with its exit code."""
    gc.set_threshold(_GARBAGE_THRESHOLD)
    from imagekit.cli import run_cli

    sys.exit(run_cli(sys.argv[1:]))  # noqa: TID251 - the one place where the process ends


if __name__ == "__main__":
    main()
