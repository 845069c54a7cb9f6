"""Where imagekit's own Vagrant project is: in ``vagrant/`` of a checkout, or in the copy that a wheel has of it."""

from pathlib import Path

from imagekit.errors import ToolMissing

PARTS = ("Vagrantfile", "provision.sh", "boxes.json")
_PACKAGED = Path(__file__).with_name("packaged")  # written by setup.py, and only into a wheel
_CHECKOUT = Path(__file__).parents[3] / "vagrant"


def find_own_project() -> Path:
    """Return the directory with our Vagrantfile and what belongs to it.

    Raises :class:`ToolMissing` when this installation has none.
    """
    # A wheel is unpacked next to other people's packages, one of which may be named "vagrant": the copy comes first.
    directory = _PACKAGED if _PACKAGED.is_dir() else _CHECKOUT
    if missing := [part for part in PARTS if not (directory / part).is_file()]:
        raise ToolMissing(
            f"this installation of imagekit has no {missing[0]} for the build VM",
            hint=f"{directory / missing[0]} should be there: install imagekit again",
        )
    return directory
