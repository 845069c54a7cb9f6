"""Verify a stored template offline: all checks in a new process, against reading a single file with debugfs.

What is compared
  imagekit verify    `imagekit verify template`: every check, from the start of the process to its end.
  debugfs            `debugfs -R 'cat /var/lib/dpkg/status'` on the same disk: e2fsprogs opening the same filesystem to
                     read one file. A floor that no verifier can pass below, not a rival that does the same.

Both read from the page cache, which an untimed run of each has filled. The template is the newest stored version; where
there is none, one is built first (untimed, without the boot test).
"""

import sys

from measure import (
    Aim,
    divide_medians,
    make_parser,
    open_scratch,
    report,
    require_tools,
    run_benchmark,
    time_commands,
)
from stored import find_template

from imagekit.disk.dpkg import STATUS_PATH
from imagekit.verify.disk_view import open_disk_view

RATIO_AIM = 3.0


def main() -> int:
    """Run the benchmark; 0 when the aim is met."""
    arguments = make_parser(__doc__, rounds=7).parse_args()
    return run_benchmark(lambda: compare(arguments.rounds))


def compare(rounds: int) -> int:
    """Measure whole processes."""
    require_tools(("debugfs", "e2fsprogs"), ("bash", "bash"))
    with open_scratch("verify") as scratch:
        template = find_template(scratch / "home")
        with open_disk_view(template.disk) as view:
            partition = view.root_volume().partition
            offset = 0 if partition is None else partition.offset
        settings = [f"{name}={value}" for name, value in template.environment.items()]
        commands = {
            "imagekit verify": ["env", *settings, sys.executable, "-m", "imagekit", "verify", template.reference],
            "debugfs": ["debugfs", "-R", f"cat {STATUS_PATH}", f"{template.disk}?offset={offset}"],
        }
        time_commands(commands, 1)
        timings = time_commands(commands, rounds)
        ours, theirs = timings.values()
        return report([ours, theirs], [Aim("imagekit verify / debugfs", divide_medians(ours, theirs), RATIO_AIM)])


if __name__ == "__main__":
    raise SystemExit(main())
