"""Which file of a build's output is the image: ``nix-support/hydra-build-products``, as Hydra reads it.

A line has type, subtype, path and perhaps a default page; the path may be in double quotes (hydra,
src/hydra-queue-runner/build-result.cc). NixOS's sd-image names its file there, whatever it is called in this release.
"""

import posixpath
import re

from imagekit.build.nix.tool import Nix
from imagekit.errors import HostFailed, ToolFailed
from imagekit.host.host import Host
from imagekit.machine.serial import clean_text

PRODUCTS = "nix-support/hydra-build-products"
_MAX_BYTES = 64 << 10
_MAX_LINES = 256
_SMALLEST, _LARGEST = 512, 1 << 40  # bytes of an image file, packed: less than a boot sector or over a TiB is a mistake
# type, subtype, path (quoted or not), and what a browser is shown
_LINE = re.compile(r'([A-Za-z0-9_-]+)\s+([A-Za-z0-9_-]+)\s+("[^"]+"|[^\s<>"]+)(?:\s+([^\s<>]+))?')
_IMAGES = (".img", ".img.zst", ".raw", ".raw.zst", ".img.xz", ".img.gz")
_HINT = "the flake's attribute must be an image such as NixOS's config.system.build.sdImage"


def parse_products(content: bytes) -> tuple[tuple[str, str, str], ...]:
    """Return type, subtype and path of each line; lines that Hydra would not understand are passed over, as it does."""
    found = []
    for line in content.decode(errors="replace").splitlines()[:_MAX_LINES]:
        if match := _LINE.fullmatch(line.strip()):
            found.append((match.group(1), match.group(2), match.group(3).strip('"')))
    return tuple(found)


def find_image(content: bytes, output: str) -> str:
    """Return the path of the one image file that the products of ``output`` name.

    Raises :class:`ToolFailed` when they name none, more than one, or a path that is not below ``output``.
    """
    images = []
    for kind, subtype, path in parse_products(content):
        if kind == "file" and ("image" in subtype or path.lower().endswith(_IMAGES)):
            images.append(path)
    if not images:
        raise ToolFailed(f"the build's {PRODUCTS} names no image", detail=_show(content), hint=_HINT)
    if len(set(images)) > 1:
        raise ToolFailed(f"the build's {PRODUCTS} names {len(set(images))} images", detail=_show(content), hint=_HINT)
    path = images[0]
    inside = path.startswith(f"{output}/") and path != f"{output}/"
    if not inside or posixpath.normpath(path) != path or clean_text(path) != path or "\n" in path:
        raise ToolFailed(
            f"the build's {PRODUCTS} names a file that is not part of it", detail=clean_text(path)[:500], hint=_HINT
        )
    return path


def locate_image(host: Host, nix: Nix, output: str) -> tuple[str, int]:
    """Return path and length in bytes of the image file in store path ``output`` on ``host``.

    A link out of the store is not followed to its end elsewhere: the file must really lie in the store.
    Raises :class:`ToolFailed` when there is no such file, or its size cannot be an image's.
    """
    try:
        content = host.read_file(f"{output}/{PRODUCTS}", limit=_MAX_BYTES)
    except HostFailed as problem:
        raise ToolFailed(
            f"the build's result has no usable {PRODUCTS}", detail=f"{output}\n{problem.message}", hint=_HINT
        ) from None
    path = find_image(content, output)
    real = host.run(["readlink", "-f", path], environment=nix.environment, check=False)
    place = real.output.decode(errors="replace").rstrip("\n")
    inside = real.status == 0 and place.startswith(f"{nix.store_dir}/")
    if not inside or host.run(["test", "-f", place], environment=nix.environment, check=False).status != 0:
        raise ToolFailed(
            "the image that the build names is not there", detail=f"{path} -> {clean_text(place)}", hint=_HINT
        )
    size = host.measure_file(path)
    if not _SMALLEST <= size <= _LARGEST:
        raise ToolFailed(f"the image that the build names has {size} bytes, which no image has", detail=path)
    return path, size


def _show(content: bytes) -> str:
    return clean_text(content[:2000].decode(errors="replace")).strip() or "it is empty"
