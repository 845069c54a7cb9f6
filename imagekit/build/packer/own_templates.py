"""Where imagekit's own Packer templates are: in ``packer/`` of a checkout, or in the copy that a wheel has of it."""

from pathlib import Path

from imagekit.errors import ToolMissing

_PACKAGED = Path(__file__).with_name("packaged")  # written by setup.py, and only into a wheel
_CHECKOUT = Path(__file__).parents[3] / "packer"


def find_own_template(name: str) -> Path:
    """Return the directory of our template ``name``, such as ``qemu``; what it shares with others is beside it.

    Raises :class:`ToolMissing` when this installation has none of that name.
    """
    # A checkout has no copy of its own, and a wheel is unpacked next to other people's packages, one of which may well
    # be named "packer": so the copy comes first.
    directory = (_PACKAGED if _PACKAGED.is_dir() else _CHECKOUT) / name
    if not any(directory.glob("*.pkr.hcl")):
        raise ToolMissing(
            f"this installation of imagekit has no Packer template {name!r}",
            hint=f"{directory} should be there: install imagekit again",
        )
    return directory
