"""Peak memory of our own process while it builds the default template, cold and warm.

Measured is `VmHWM` of /proc/PID/status (proc_pid_status(5)), the largest resident set the process has had, read every
20 ms until the process ends. Programs that it runs (apt, dpkg, mke2fs) are processes of their own and not counted.
Package files are linked from the operator's cache; what is missing there is fetched.
"""

import os
import re
import statistics
import sys
import time
from pathlib import Path

from measure import Aim, keep_below, make_parser, note, open_scratch, report, run_benchmark

from imagekit.errors import ToolFailed
from imagekit.host import run, start
from imagekit.host.local import end
from imagekit.settings import read_settings

MEBIBYTES_AIM = 200.0
_PEAK = re.compile(r"^VmHWM:\s+(\d+) kB$", re.MULTILINE)
_FEATURE = '[images.template]\nfeatures = ["node-exporter"]\n'


class _Said:
    """Keeps the end of what the process says."""

    def __init__(self) -> None:
        self.text = b""

    def write(self, data: bytes) -> int:
        self.text = (self.text + data)[-4096:]
        return len(data)


def main() -> int:
    """Run the benchmark; 0 when the aim is met."""
    arguments = make_parser(__doc__, rounds=1).parse_args()
    return run_benchmark(lambda: compare(arguments.rounds))


def compare(rounds: int) -> int:
    """Build cold, then warm, in each round."""
    cold, warm = [], []
    packages = read_settings({}).cache / "packages"
    for number in range(1, rounds + 1):
        with open_scratch("memory") as home:
            (home / "project").mkdir()
            (home / "cache/packages").mkdir(parents=True)
            if files := [os.fspath(path) for path in packages.glob("*.deb")]:
                run(["cp", "--preserve=timestamps", "--target-directory", os.fspath(home / "cache/packages"), *files])
            cold.append(measure_peak(home))
            note(f"round {number} of {rounds}: cold: {cold[-1]:.1f} MB")
            (home / "project/imagekit.toml").write_text(_FEATURE)
            warm.append(measure_peak(home))
            note(f"round {number} of {rounds}: warm: {warm[-1]:.1f} MB")
    aims = [
        Aim("peak of a cold build", statistics.median(cold), MEBIBYTES_AIM, " MB"),
        Aim("peak of a warm build", statistics.median(warm), MEBIBYTES_AIM, " MB"),
    ]
    return report([], aims)


def measure_peak(home: Path) -> float:
    """Build with everything kept below ``home`` and return the peak in megabytes (10^6 bytes)."""
    said = _Said()
    argv = [sys.executable, "-m", "imagekit", "build", "template", "--no-boot-test"]
    running = start(argv, environment=keep_below(home), directory=home / "project", stderr=said)
    peak = 0
    try:
        while running.is_alive():
            peak = max(peak, read_peak(running.pid))
            time.sleep(0.02)
        running.wait()
    finally:
        end(running)
    if running.exit_code != 0 or not peak:
        detail = said.text.decode(errors="replace")
        raise ToolFailed(f"imagekit build failed with status {running.exit_code}", detail=detail)
    return peak * 1024 / 1e6


def read_peak(pid: int) -> int:
    """Return the peak resident set of a process in KiB; 0 once it is gone."""
    try:
        match = _PEAK.search(Path(f"/proc/{pid}/status").read_text())
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return int(match[1]) if match else 0


if __name__ == "__main__":
    raise SystemExit(main())
