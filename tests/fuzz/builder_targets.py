"""What is asked of the readers of a builder's words when those were changed: another machine may say anything."""

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from imagekit.build.nix.closure import list_packages, parse_closure
from imagekit.build.nix.failure import explain_failure
from imagekit.build.nix.internal_json import NixLog
from imagekit.build.nix.products import find_image
from imagekit.build.nix.tool import parse_build_output, parse_version
from imagekit.build.vagrant.machine_readable import LineReader, find_fault
from imagekit.errors import ImagekitError
from imagekit.progress import silent

_RECORDED = Path(__file__).parent.parent / "build"
_OUTPUT = "/nix/store/0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c-image"


def read_recorded(*names: str) -> Callable[[Path], list[bytes]]:
    """Return the seeds of a target: what real programs said, below ``tests/build``."""
    return lambda _: [(_RECORDED / name).read_bytes() for name in names]


def make_products(_: Path) -> list[bytes]:
    """Return lines as NixOS's image has them, one path in quotes."""
    image = f"{_OUTPUT}/sd-image/card.img.zst"
    return [f"file sd-image {image}\n".encode(), f'doc manual {_OUTPUT}/doc\nfile sd-image "{image}" extra\n'.encode()]


def fuzz_nix_log(data: bytes) -> None:
    """Hear a log to its end and explain why it failed."""
    log = NixLog(silent)
    for line in data.decode(errors="replace").split("\n"):
        log.hear(line)
    log.finish(data.decode(errors="replace"))
    assert isinstance(explain_failure(log, 1, "a machine"), ImagekitError)


def fuzz_nix_answers(data: bytes) -> None:
    """Read the same bytes as each of the answers that are read."""
    with suppress(ImagekitError):
        list_packages(parse_closure(data))
    with suppress(ImagekitError):
        parse_build_output(data)
    with suppress(ImagekitError):
        parse_version(data.decode(errors="replace"))


def fuzz_nix_products(data: bytes) -> None:
    """Find the image, which is never anywhere but in the output."""
    with suppress(ImagekitError):
        path = find_image(data, _OUTPUT)
        assert path.startswith(f"{_OUTPUT}/")
        assert ".." not in path.split("/")


def fuzz_vagrant(data: bytes) -> None:
    """Read a stream in pieces, as it comes."""
    reader = LineReader()
    lines = [line for at in range(0, len(data), 100) for line in reader.feed(data[at : at + 100])]
    find_fault([*lines, *reader.close()])
