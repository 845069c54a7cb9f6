"""What a Raspberry Pi's firmware looks for on its FAT, as far as config.txt and the boards it names say.

Source: the Raspberry Pi documentation ("config.txt", "Boot folder contents"), nixpkgs' sd-image-aarch64.nix.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from imagekit.verify.facts.nixos import Firmware

CONFIG = "config.txt"
_MOST_LINES = 2_000
_DEEPEST = 4
# The firmware's own choices when config.txt names no kernel.
_KERNELS = ("kernel8.img", "kernel_2712.img", "kernel7l.img", "kernel7.img", "kernel.img")
_FILES = ("kernel", "armstub", "device_tree", "start_file", "fixup_file")
_START = ("start.elf", "start_x.elf", "start_cd.elf", "start_db.elf")
_START4 = ("start4.elf", "start4x.elf", "start4cd.elf", "start4db.elf")


@dataclass(frozen=True, slots=True)
class Generation:
    """Boards that need the same: their sections in config.txt, and sets of names of which one each must be there."""

    name: str
    sections: frozenset[str]
    needs: tuple[tuple[str, ...], ...]
    tree_prefix: str = ""  # of the device trees that its U-Boot is given by the firmware


GENERATIONS = (
    Generation(
        "Raspberry Pi up to 3",
        frozenset({"pi0", "pi0w", "pi02", "pi1", "pi2", "pi3", "pi3+", "cm1", "cm3", "cm3+"}),
        (("bootcode.bin",), _START),
    ),
    Generation(
        "Raspberry Pi 4",
        frozenset({"pi4", "pi400", "cm4", "cm4s"}),
        (_START4,),
        "bcm2711-",
    ),
    Generation("Raspberry Pi 5", frozenset({"pi5", "pi500", "cm5"}), (), "bcm2712"),
)


@dataclass(frozen=True, slots=True)
class Setting:
    """A line of config.txt under the section (``all`` when none) that it stands in."""

    section: str
    key: str
    value: str


def read_config(firmware: Firmware, name: str = CONFIG, depth: int = 0) -> Iterator[Setting]:
    """Yield the settings of config.txt and of what it includes, in order."""
    section = "all"
    for line in (firmware.text(name) or "").splitlines()[:_MOST_LINES]:
        text = line.partition("#")[0].strip()
        if text.startswith("[") and text.endswith("]"):
            section = text[1:-1].strip().lower()
        elif text.startswith("include ") and depth < _DEEPEST:
            yield from read_config(firmware, text.removeprefix("include ").strip(), depth + 1)
        elif text.startswith("initramfs "):
            yield Setting(section, "initramfs", text.split()[1])
        elif "=" in text:
            key, _, value = text.partition("=")
            yield Setting(section, key.strip().lower(), value.strip())


def list_missing(firmware: Firmware) -> Iterator[tuple[str, str]]:
    """Yield name and reason for every file that the firmware needs and does not find, or finds empty."""
    settings = list(read_config(firmware))
    sections = {setting.section for setting in settings} | _list_sections(firmware)
    named = {(each.key, each.value) for each in settings if each.key in (*_FILES, "initramfs") and each.value}
    for key, value in sorted(named):
        if not firmware.has(value):
            yield value, f"{CONFIG} names it as {key}, and it is not there or empty"
    if not any(key == "kernel" for key, _ in named) and not any(firmware.has(name) for name in _KERNELS):
        yield CONFIG, "names no kernel (U-Boot), and there is none of the names that the firmware tries"
    meant = [each for each in GENERATIONS if each.sections & sections]
    for generation in meant:
        for names in generation.needs:
            if not any(firmware.has(name) for name in names):
                yield names[0], f"not there or empty, and {CONFIG} is for {generation.name}"
        if generation.tree_prefix and not _has_tree(firmware, generation.tree_prefix):
            found = f"no device tree of {generation.name}, and {CONFIG} is for it"
            yield f"{generation.tree_prefix}*.dtb", found
    starters = (*_START, *_START4)
    if not meant and not any(firmware.has(name) for name in starters) and not _has_tree(firmware, "bcm2712"):
        yield "start4.elf", f"there is none of {', '.join(starters)}"


def _has_tree(firmware: Firmware, prefix: str) -> bool:
    names = (name.lower() for name in firmware.tree.names("/"))
    return any(name.startswith(prefix) and name.endswith(".dtb") and firmware.has(name) for name in names)


def _list_sections(firmware: Firmware) -> set[str]:
    """Return the sections that config.txt has, those without a setting too."""
    lines = (line.partition("#")[0].strip() for line in (firmware.text(CONFIG) or "").splitlines()[:_MOST_LINES])
    return {line[1:-1].strip().lower() for line in lines if line.startswith("[") and line.endswith("]")}
