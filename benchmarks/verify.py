"""Verify one template offline, as raw disk and in containers: all checks in a new process, against what others need.

What is compared
  imagekit verify    every check, from the start of the process to its end, on the same disk as raw, qcow2, qcow2 with
                     zlib and with zstd.
  virt-inspector     libguestfs starts a small machine, mounts the disk and lists packages. It checks nothing.
  virt-sysprep       `--dry-run`: the same machine, and each operation asked what it would do. It reports nothing.
  debugfs            reading one file of the same filesystem: a floor that no verifier can pass below, and no rival.
  sha256sum          over the free blocks that `--deep` searches, as one file: what hashing the same bytes costs.

`--files N` makes a second disk of 10 GiB with N files from the first (untimed, mke2fs), to show that the time does not
grow with what is on it. All read from the page cache, which an untimed run of each has filled. The template is the
newest stored version; where there is none, one is built first (untimed, without the boot test). libguestfs is told to
emulate: /dev/kvm may be there and of no use.
"""

import argparse
import os
import sys
from pathlib import Path

from measure import (
    Aim,
    Timings,
    divide_medians,
    make_parser,
    open_scratch,
    report,
    require_tools,
    run_benchmark,
    time_commands,
)
from stored import StoredTemplate, find_template

from imagekit.disk.block_map import list_free_ranges
from imagekit.disk.containers.open import open_disk
from imagekit.disk.packages.dpkg import STATUS_PATH
from imagekit.host import run
from imagekit.verify.disk_view import open_disk_view

GIB = 1 << 30
_GUESTFS = ["env", "LIBGUESTFS_BACKEND=direct", "LIBGUESTFS_BACKEND_SETTINGS=force_tcg"]
_FORMS = {"raw": [], "qcow2": ["-O", "qcow2"], "qcow2 zlib": ["-c", "-O", "qcow2"],
          "qcow2 zstd": ["-c", "-O", "qcow2", "-o", "compression_type=zstd"]}  # fmt: skip

_TELL_PEAK = """
import resource, runpy, sys
try:
    runpy.run_module("imagekit", run_name="__main__", alter_sys=True)
except SystemExit:
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, file=sys.stderr)
"""


def main() -> int:
    """Run the benchmark; 0 when every aim is met."""
    parser = make_parser(__doc__, rounds=7)
    parser.add_argument("--files", type=int, default=300_000, help="files on the large disk; 0 leaves it out")
    parser.add_argument("--no-guestfs", action="store_true", help="leave libguestfs out: it takes minutes")
    arguments = parser.parse_args()
    return run_benchmark(lambda: compare(arguments))


def compare(arguments: argparse.Namespace) -> int:
    """Measure whole processes."""
    require_tools(("debugfs", "e2fsprogs"), ("bash", "bash"), ("qemu-img", "qemu-utils"))
    with open_scratch("verify") as scratch:
        template = find_template(scratch / "home")
        disks = make_forms(template.disk, scratch)
        with open_disk_view(template.disk) as view:
            partition = view.root_volume().partition
            offset = 0 if partition is None else partition.offset
        commands = {form: verify_command(template, disk) for form, disk in disks.items()}
        commands["debugfs"] = ["debugfs", "-R", f"cat {STATUS_PATH}", f"{template.disk}?offset={offset}"]
        time_commands(commands, 1)
        timings = time_commands(commands, arguments.rounds)
        aims = [Aim(f"imagekit verify, {form}", timings[form].median, 0.25, " s") for form in disks]
        aims.append(Aim("imagekit verify / debugfs", divide_medians(timings["raw"], timings["debugfs"]), 3))
        shown = list(timings.values())
        if not arguments.no_guestfs:
            peers = time_peers(template.disk)
            shown += peers.values()
            aims += [Aim(f"imagekit verify / {name}", divide_medians(timings["raw"], peer), 1 / 60)
                     for name, peer in peers.items()]  # fmt: skip
        deep = time_deep(template, scratch, arguments.rounds)
        shown += deep.values()
        aims.append(Aim("--deep / sha256sum of the free blocks", divide_medians(*deep.values()), 2))
        if arguments.files:
            large = make_large_disk(template, scratch, arguments.files, offset)
            command = {f"{arguments.files} files on 10 GiB": verify_command(template, large)}
            time_commands(command, 1)
            (timing,) = time_commands(command, max(1, arguments.rounds // 2)).values()
            shown.append(timing)
            aims.append(Aim(f"imagekit verify, {timing.name}", timing.median, 1.5, " s"))
        aims.append(Aim("peak memory of imagekit verify", measure_memory(template), 120, " MiB"))
        return report(shown, aims)


def verify_command(template: StoredTemplate, disk: Path, *options: str) -> list[str]:
    """Return the command that verifies ``disk``; findings are no failure of the benchmark."""
    settings = [f"{name}={value}" for name, value in template.environment.items()]
    words = [sys.executable, "-m", "imagekit", "verify", os.fspath(disk), *options]
    return ["env", *settings, "sh", "-c", '"$@" || [ $? = 5 ]', "sh", *words]


def make_forms(disk: Path, scratch: Path) -> dict[str, Path]:
    """Return the disk by the name of its form, converted by qemu-img."""
    forms = {"raw": disk}
    for form, options in _FORMS.items():
        if options:
            forms[form] = scratch / f"{form.replace(' ', '-')}.qcow2"
            run(["qemu-img", "convert", *options, os.fspath(disk), os.fspath(forms[form])])
    return forms


def time_peers(disk: Path) -> dict[str, Timings]:
    """Return the times of libguestfs' tools, one round: each takes about a minute under emulation."""
    require_tools(("virt-inspector", "guestfs-tools"), ("virt-sysprep", "guestfs-tools"))
    commands = {
        "virt-inspector": [*_GUESTFS, "virt-inspector", "-a", os.fspath(disk)],
        "virt-sysprep": [*_GUESTFS, "virt-sysprep", "--dry-run", "-a", os.fspath(disk)],
    }
    time_commands({"virt-inspector": commands["virt-inspector"]}, 1)  # makes the small machine, which is then kept
    return dict(time_commands(commands, 1))


def time_deep(template: StoredTemplate, scratch: Path, rounds: int) -> dict[str, Timings]:
    """Time ``--deep`` on a disk whose free blocks are full, less a quick run, against sha256sum over those blocks."""
    full, free = scratch / "full.raw", scratch / "free.bin"
    run(["cp", "--sparse=never", os.fspath(template.disk), os.fspath(full)])
    full.chmod(0o600)
    with open_disk(template.disk) as disk:
        ranges = list_free_ranges(disk)
    with full.open("r+b") as file, free.open("wb") as out:
        for each in ranges:
            file.seek(each.offset)
            for begin in range(0, each.length, 1 << 20):
                piece = os.urandom(min(1 << 20, each.length - begin))
                file.write(piece)
                out.write(piece)
    commands = {"verify --deep": verify_command(template, full, "--deep"), "sha256sum": ["sha256sum", os.fspath(free)]}
    time_commands(commands, 1)
    return dict(time_commands(commands, max(1, rounds // 2)))


def make_large_disk(template: StoredTemplate, scratch: Path, files: int, offset: int) -> Path:
    """Make a disk of 10 GiB whose root is the template's, with ``files`` more files in 300 directories."""
    root, disk = scratch / "root", scratch / "large.raw"
    root.mkdir()
    run(["debugfs", "-R", f"rdump / {root}", f"{template.disk}?offset={offset}"])
    for number in range(files):
        if number % (files // 300 + 1) == 0:
            directory = root / "srv" / f"d{number}"
            directory.mkdir(parents=True)
        (directory / f"f{number}").touch()
    run(["cp", "--sparse=always", os.fspath(template.disk), os.fspath(disk)])
    disk.chmod(0o600)
    with disk.open("r+b") as file:
        file.truncate(10 * GIB)
    with open_disk_view(template.disk) as view:
        volume = view.root_volume()
    run(["sfdisk", "-q", "--no-reread", "-N", "2", os.fspath(disk)], stdin=b", +\n")
    filesystem = scratch / "root.ext4"
    with filesystem.open("wb") as file:
        file.truncate(10 * GIB - offset - (1 << 20))
    run(["mke2fs", "-q", "-t", "ext4", "-U", volume.uuid, "-L", volume.label, "-N", str(files * 2), "-d",
         os.fspath(root), os.fspath(filesystem)])  # fmt: skip
    run(["dd", f"if={filesystem}", f"of={disk}", "bs=1M", f"seek={offset >> 20}", "conv=notrunc,sparse"])
    filesystem.unlink()
    return disk


def measure_memory(template: StoredTemplate) -> float:
    """Return the peak memory of one run in MiB, as the process itself tells at its end."""
    words = ["verify", os.fspath(template.disk)]
    said = run([sys.executable, "-c", _TELL_PEAK, *words], environment=dict(os.environ) | template.environment)
    return int(said.errors.split()[-1]) / 1024


if __name__ == "__main__":
    raise SystemExit(main())
