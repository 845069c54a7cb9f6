"""The one thing about packaging that pyproject.toml cannot say: the wheel takes along what is not Python.

In a checkout that is where people look for it and use it by hand: Packer's templates in ``packer/``, the flake at the
top with ``nix/`` beside it, the build VM in ``vagrant/``. A wheel has a copy of each in the directory ``packaged`` of
its room, ``imagekit/build/packer``, ``nix`` and ``vagrant``; what looks for them there finds either.
"""

import shutil
from collections.abc import Iterator
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

# Where it is from, where it goes, and what is taken: by name, and nothing else. Whoever runs Packer here by hand leaves
# variable files with secrets, outputs and caches; Nix leaves links to results, a site its values, Vagrant its state.
_COPIES = (
    (Path("packer"), Path("imagekit/build/packer/packaged"), ("*/*.pkr.hcl", "*/*.sh")),
    (
        Path(),
        Path("imagekit/build/nix/packaged"),
        ("flake.nix", "flake.lock", "nix/*.nix", "nix/*/*.nix", "nix/pihole/images.json"),
    ),
    (Path("vagrant"), Path("imagekit/build/vagrant/packaged"), ("Vagrantfile", "provision.sh", "boxes.json")),
)


def list_copies() -> Iterator[tuple[Path, Path]]:
    """Yield each file that the wheel takes along, relative to the project's root, and its place below build/lib."""
    for source, target, patterns in _COPIES:
        for pattern in patterns:
            for path in sorted(source.glob(pattern)):
                yield path, target / path.relative_to(source)


class BuildWithCopies(build_py):
    """Copies them beside the modules; an editable installation uses the checkout's own."""

    def run(self) -> None:
        super().run()
        if self.editable_mode:
            return
        for _, target, _ in _COPIES:
            shutil.rmtree(self.build_lib / target, ignore_errors=True)  # build/lib may be an earlier version's
        for source, copy in self._pair_copies():
            self.mkpath(str(copy.parent))
            self.copy_file(str(source), str(copy))

    def get_source_files(self) -> list[str]:
        """Return what a source distribution has to hold."""
        return [*super().get_source_files(), *(str(source) for source, _ in list_copies())]

    def get_outputs(self, include_bytecode: bool = True) -> list[str]:
        """Return what a wheel holds."""
        copies = [] if self.editable_mode else [str(copy) for _, copy in self._pair_copies()]
        return [*super().get_outputs(include_bytecode), *copies]

    def _pair_copies(self) -> Iterator[tuple[Path, Path]]:
        for source, place in list_copies():
            yield source, self.build_lib / place


setup(cmdclass={"build_py": BuildWithCopies})
