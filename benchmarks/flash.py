"""Write a card: ours, hashing and reading back, against dd, which does neither.

What is compared
  imagekit flash                `imagekit flash IMAGE DEVICE --yes`, whole process: SHA-256, all of it read back.
  imagekit flash --no-verify    the same without reading back.
  dd                            `dd bs=4M oflag=direct conv=fsync`: nothing is known of source or card afterwards.
  dd, then compared             the same, then `cmp` of the image and the device after its cache was dropped.

The device is a loop device with direct I/O on a file in $TMPDIR, the image 1 GiB, a quarter of it data; that is faster
than any card, so this shows what imagekit costs on top of the medium, not how long a card takes. Needs root.
"""

import contextlib
import os
import random
import sys
from collections.abc import Iterator
from pathlib import Path

from measure import Aim, divide_medians, make_parser, open_scratch, report, require_tools, run_benchmark, time_commands

from imagekit.host import run

PLAIN_AIM, COMPARED_AIM = 2.0, 1.0
_IMAGE_BYTES, _PIECE_BYTES = 1 << 30, 1 << 20


def main() -> int:
    """Run the benchmark; 0 when the aims are met."""
    arguments = make_parser(__doc__, rounds=5).parse_args()
    return run_benchmark(lambda: compare(arguments.rounds))


def compare(rounds: int) -> int:
    """Measure whole processes that write the same image to the same device."""
    require_tools(("dd", "coreutils"), ("losetup", "mount"), ("cmp", "diffutils"), ("bash", "bash"))
    with open_scratch("flash") as scratch:
        image = scratch / "image.raw"
        _write_image(image)
        with _attach(scratch / "card.raw") as device:
            flash = [
                *("env", f"IMAGEKIT_STORE={scratch / 'store'}", sys.executable, "-m", "imagekit"),
                *("flash", str(image), device, "--yes"),
            ]
            dd = ["dd", f"if={image}", f"of={device}", "bs=4M", "oflag=direct", "conv=fsync", "status=none"]
            compared = (
                'dd "if=$1" "of=$2" bs=4M oflag=direct conv=fsync status=none; '
                'blockdev --flushbufs "$2"; cmp -n "$3" "$1" "$2"'
            )
            commands = {
                "imagekit flash": flash,
                "imagekit flash --no-verify": [*flash, "--no-verify"],
                "dd": dd,
                "dd, then compared": ["bash", "-ec", compared, "bash", str(image), device, str(_IMAGE_BYTES)],
            }
            ours, unverified, plain, both = time_commands(commands, rounds).values()
    aims = [
        Aim("imagekit flash --no-verify / dd", divide_medians(unverified, plain), PLAIN_AIM),
        Aim("imagekit flash / dd, then compared", divide_medians(ours, both), COMPARED_AIM),
        Aim("imagekit flash / dd", divide_medians(ours, plain)),
    ]
    return report([ours, unverified, plain, both], aims)


def _write_image(path: Path) -> None:
    """Write a sparse image of which every fourth MiB is data that does not repeat; the same in each run."""
    source = random.Random(20261122)
    with path.open("wb") as file:
        for offset in range(0, _IMAGE_BYTES, 4 * _PIECE_BYTES):
            file.seek(offset)
            file.write(source.randbytes(_PIECE_BYTES))
        file.truncate(_IMAGE_BYTES)


@contextlib.contextmanager
def _attach(path: Path) -> Iterator[str]:
    """Yield a loop device on a preallocated file; it is detached afterwards."""
    with path.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, _IMAGE_BYTES + (64 << 20))
    device = run(["losetup", "--find", "--show", "--direct-io=on", str(path)]).output.decode().strip()
    try:
        yield device
    finally:
        run(["losetup", "--detach", device])


if __name__ == "__main__":
    raise SystemExit(main())
