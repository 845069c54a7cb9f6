"""Clone a template on this machine: ours against copying its disk.

What is compared
  imagekit clone      `imagekit clone template NAME --local --no-start`, whole process; once more with `--disk 20G`.
  create_clone        the same inside a process that runs already: of that disk, and of a sparse one of 20 GiB.
  qemu-img convert    `qemu-img convert -O qcow2` of both disks: a full copy, what one does without a thin overlay.

The template is the newest stored version; where there is none, one is built first (untimed, without the boot test).
A clone by convert still lacks a key, a seed and firmware variables, which ours has: that favours the peer.
"""

import shutil
import sys
from pathlib import Path

from measure import (
    Aim,
    Contender,
    divide_medians,
    make_parser,
    measure_interleaved,
    open_scratch,
    report,
    require_tools,
    run_benchmark,
    time_commands,
)
from stored import StoredTemplate, find_template

from imagekit.deliver.local import create_clone, list_clones, remove_clone
from imagekit.host import run
from imagekit.machine.accelerator import explain_accelerator
from imagekit.machine.firmware import find_firmware

SECONDS_AIM = 0.3
_LARGE_BYTES = 20 << 30


def main() -> int:
    """Run the benchmark; 0 when the aims are met."""
    arguments = make_parser(__doc__, rounds=7).parse_args()
    return run_benchmark(lambda: compare(arguments.rounds))


def compare(rounds: int) -> int:
    """Measure whole processes, then calls."""
    require_tools(("qemu-img", "qemu-utils"), ("bash", "bash"))
    with open_scratch("clone") as scratch:
        template = find_template(scratch / "home")
        large = scratch / "large.raw"
        shutil.copyfile(template.disk, large)
        run(["fallocate", "--dig-holes", str(large)])
        large.chmod(0o600)
        with large.open("r+b") as file:
            file.truncate(_LARGE_BYTES)
        try:
            return _compare(template, large, scratch, rounds)
        finally:
            for clones in (scratch / "home/state/clones", scratch / "called"):
                for status in list_clones(clones):
                    remove_clone(status.clone)


def _compare(template: StoredTemplate, large: Path, scratch: Path, rounds: int) -> int:
    settings = [f"{name}={value}" for name, value in template.environment.items()]
    clone = ["env", *settings, sys.executable, "-m", "imagekit", "clone", "template"]
    convert = ["qemu-img", "convert", "-f", "raw", "-O", "qcow2"]
    size = template.disk.stat().st_size >> 30
    commands = {
        "imagekit clone": [*clone, "bench-{round}", "--local", "--no-start"],
        "imagekit clone --disk 20G": [*clone, "bench-large-{round}", "--local", "--no-start", "--disk", "20G"],
        f"qemu-img convert, {size} GiB": [*convert, str(template.disk), str(scratch / "copy.qcow2")],
        "qemu-img convert, 20 GiB sparse": [*convert, str(large), str(scratch / "copy.qcow2")],
    }
    # The first clone in a new home tries what can accelerate QEMU here; that happens once for each boot of the host.
    run([*clone, "bench-first", "--local", "--no-start"])
    processes = time_commands(commands, rounds)
    accelerator, firmware = explain_accelerator(scratch / "home/cache").accelerator, find_firmware()

    def call(disk: Path, name: str) -> None:
        create_clone(
            disk,
            name,
            reference=template.reference,
            digest=template.digest,
            clones_dir=scratch / "called",
            accelerator=accelerator,
            firmware=firmware,
        )

    def clear() -> None:
        for status in list_clones(scratch / "called"):
            remove_clone(status.clone)

    call(template.disk, "bench-first")  # loads what is imported late
    clear()
    calls = measure_interleaved(
        [
            Contender(f"create_clone, {size} GiB", lambda: call(template.disk, "bench"), tidy=clear),
            Contender("create_clone, 20 GiB sparse", lambda: call(large, "bench"), tidy=clear),
        ],
        rounds,
    )
    ours, ours_large, copy, copy_large = processes.values()
    called, called_large = calls.values()
    aims = [
        Aim("imagekit clone", ours.median, SECONDS_AIM, " s"),
        Aim("imagekit clone --disk 20G", ours_large.median, SECONDS_AIM, " s"),
        Aim(called.name, called.median, SECONDS_AIM, " s"),
        Aim(called_large.name, called_large.median, SECONDS_AIM, " s"),
        Aim("imagekit clone / qemu-img convert", divide_medians(ours, copy)),
        Aim("create_clone / qemu-img convert", divide_medians(called, copy)),
        Aim("create_clone / qemu-img convert, 20 GiB sparse", divide_medians(called_large, copy_large)),
    ]
    return report([ours, ours_large, called, called_large, copy, copy_large], aims)


if __name__ == "__main__":
    raise SystemExit(main())
