"""The image is the file that the build names, and nothing else that a build might name."""

from pathlib import Path

import pytest

from imagekit.build.nix.products import find_image, locate_image, parse_products
from imagekit.build.nix.tool import find_nix, make_build_command, parse_build_output
from imagekit.errors import ToolFailed
from imagekit.host.here import ThisMachine
from tests.nix_store import make_own_store
from tests.tiny import FOREIGN_PRODUCT, IMAGE, MISSING_PRODUCT, NO_PRODUCTS, SYSTEM, copy_tiny_flake, name_attribute

_OUT = "/nix/store/c7ib80mzb2wq920rclvk0vlqy5w3w0qc-nixos-image.img"


@pytest.mark.parametrize(
    ("line", "path"),
    [
        (f"file sd-image {_OUT}/sd-image/a.img.zst", f"{_OUT}/sd-image/a.img.zst"),
        (f"file sd-image {_OUT}/sd-image/a.img", f"{_OUT}/sd-image/a.img"),
        (f'file  disk-image\t"{_OUT}/my card.img"', f"{_OUT}/my card.img"),
        (f"file binary-dist {_OUT}/a.img.zst index.html", f"{_OUT}/a.img.zst"),
        (f"doc manual {_OUT}/doc\nfile sd-image {_OUT}/a.img\nreport log {_OUT}/log", f"{_OUT}/a.img"),
        (f"file sd-image {_OUT}/a.img\nfile sd-image {_OUT}/a.img\n", f"{_OUT}/a.img"),
    ],
)
def test_image_is_found(line: str, path: str) -> None:
    """One image among the products is it, quoted or not, and whatever else is named."""
    assert find_image(line.encode(), _OUT) == path


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "names no image"),
        (f"doc manual {_OUT}/doc".encode(), "names no image"),
        (f"file sd-image {_OUT}/a b.img extra words".encode(), "names no image"),
        (f"file sd-image {_OUT}/a.img\nfile sd-image {_OUT}/b.img".encode(), "names 2 images"),
        (b"file sd-image /etc/passwd", "not part of it"),
        (f"file sd-image {_OUT}/../other/a.img".encode(), "not part of it"),
        (f"file sd-image {_OUT}2/a.img".encode(), "not part of it"),
        (f"file sd-image {_OUT}".encode(), "not part of it"),
        (f"file sd-image {_OUT}/".encode(), "not part of it"),
        (f"file sd-image {_OUT}//a.img".encode(), "not part of it"),
        (f"file sd-image {_OUT}/\x1b[31ma.img".encode(), "not part of it"),
        (b"file sd-image a.img", "not part of it"),
        (b"\xff\xfe" * 1000, "names no image"),
    ],
)
def test_other_files_are_refused(content: bytes, says: str) -> None:
    """No image, several, and paths that leave the output are refused with what the file says."""
    with pytest.raises(ToolFailed, match=says):
        find_image(content, _OUT)


def test_lines_are_bounded() -> None:
    """A file of a hundred thousand lines is read up to its limit."""
    assert len(parse_products(b"doc a /b\n" * 100_000)) == 256


def _build(tmp_path: Path, attribute: str) -> tuple[str, int]:
    store, flake = make_own_store(tmp_path), copy_tiny_flake(tmp_path / "flake")
    host = ThisMachine()
    nix = find_nix(host, store.environment)
    argv = make_build_command(nix, f"path:{flake}#{name_attribute(attribute, SYSTEM)}")
    out = parse_build_output(host.run(argv, environment=nix.environment).output).outputs["out"]
    return locate_image(host, nix, out)


def test_real_build_names_its_image(tmp_path: Path) -> None:
    """The tiny card, built by the real Nix, is found with its size."""
    path, size = _build(tmp_path, IMAGE)
    assert path.endswith(".img.zst")
    assert size == Path(path).stat().st_size


@pytest.mark.parametrize(
    ("attribute", "says"),
    [
        (NO_PRODUCTS, "no usable nix-support/hydra-build-products"),
        (MISSING_PRODUCT, "is not there"),
        (FOREIGN_PRODUCT, "not part of it"),
    ],
)
def test_real_build_without_an_image(tmp_path: Path, attribute: str, says: str) -> None:
    """A build without the list, with an image that is missing, or with another's file is refused."""
    with pytest.raises(ToolFailed, match=says):
        _build(tmp_path, attribute)
