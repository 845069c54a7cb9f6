"""Look for inputs that break a reader, led by coverage: ``python -m tests.fuzz.run_atheris TARGET --seconds N``.

The readers are instrumented by atheris; the corpus lives in a temporary directory and begins with real images. An
input that raises anything but our own errors, takes more than two seconds of processor time, or makes the process
256 MiB larger than it was before ends the run with a traceback and is kept in ``--crashes``. What libFuzzer says,
statistics at the end, goes to standard error. Given files are tried once each instead, to see a crash again.
"""

import argparse
import os
import sys
import tempfile
from pathlib import Path

from imagekit.errors import ToolFailed
from imagekit.host import run
from tests.fuzz.limits import limited_seconds, read_resident_mebibytes

_HANG_SECONDS = 30  # of wall time, for what never comes back; the bound on processor time is a reader's own
_START_SECONDS = 120
_SPARE = 1.5  # inputs may grow beyond the largest seed


def fuzz_here(name: str, seconds: int, crashes: Path, places: list[Path]) -> None:
    """Fuzz one target in this process, which ends with it: libFuzzer does not return, and runs no ``finally``."""
    import atheris

    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # atheris writes tracebacks to the one, libFuzzer to the other
    with atheris.instrument_imports(include=["imagekit.disk", "imagekit.verify"]):
        from tests.fuzz.targets import MEMORY_MIB, SECONDS, TARGETS
    target = TARGETS[name]

    def fuzz_one(data: bytes) -> None:
        with limited_seconds(SECONDS):
            target.fuzz_one(data)

    files = [file for place in places for file in (place.iterdir() if place.is_dir() else [place])]
    for file in files:  # what is loaded on first use belongs to the beginning
        target.fuzz_one(file.read_bytes())
    options = (
        f"-max_total_time={seconds}",
        f"-max_len={int(max(file.stat().st_size for file in files) * _SPARE)}",
        f"-timeout={_HANG_SECONDS}",
        f"-rss_limit_mb={read_resident_mebibytes() + MEMORY_MIB}",
        f"-artifact_prefix={crashes}/",
        "-print_final_stats=1",
        "-len_control=0",
    )
    atheris.Setup([sys.argv[0], *options, *map(str, places)], fuzz_one)
    atheris.Fuzz()


def fuzz_aside(name: str, seconds: int, crashes: Path) -> None:
    """Fuzz one target in a process of its own, on seeds that are gone when it ended.

    Raises :class:`ToolFailed` with the traceback when an input broke the reader.
    """
    from tests.fuzz.seeds import copy_seeds
    from tests.fuzz.targets import TARGETS

    with tempfile.TemporaryDirectory(prefix="imagekit-fuzz-") as directory:
        corpus = Path(directory, "corpus")
        copy_seeds(TARGETS[name].make_seeds(Path(directory)), corpus)
        words = [name, "--seconds", str(seconds), "--crashes", str(crashes), str(corpus)]
        run(
            [sys.executable, "-m", "tests.fuzz.run_atheris", *words],
            on_line=_repeat,
            timeout=seconds + _START_SECONDS,
        )


def _repeat(line: str) -> None:
    sys.stderr.write(f"{line}\n")


def main() -> int:
    """Parse the command line, and return what the process ends with."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("target")
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--crashes", type=Path, default=Path(), help="directory for inputs that break the reader")
    parser.add_argument("inputs", nargs="*", type=Path, help="try these files only")
    chosen = parser.parse_intermixed_args()
    if chosen.inputs:
        fuzz_here(chosen.target, chosen.seconds, chosen.crashes, chosen.inputs)
        return 0
    try:
        fuzz_aside(chosen.target, chosen.seconds, chosen.crashes)
    except ToolFailed as problem:
        sys.stderr.write(f"{problem.message}\n{problem.detail}\n")
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
