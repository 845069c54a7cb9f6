"""The one thing about packaging that pyproject.toml cannot say: the wheel takes our Packer templates along.

In a checkout they are in ``packer/``, where people look for them and run them by hand. A wheel has a copy of them in
``imagekit/build/packer/packaged``; ``imagekit.build.packer.own_templates`` finds either.
"""

import shutil
from collections.abc import Iterator
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

_SOURCE = Path("packer")
_TARGET = Path("imagekit/build/packer/packaged")
# By name, and nothing else: whoever runs Packer here by hand leaves variable files with secrets, outputs and caches.
_TAKEN = ("*/*.pkr.hcl", "*/*.sh")


def list_templates() -> Iterator[Path]:
    """Yield our templates' files, relative to the project's root."""
    for pattern in _TAKEN:
        yield from sorted(_SOURCE.glob(pattern))


class BuildWithTemplates(build_py):
    """Copies the templates beside the modules; an editable installation uses the checkout's own."""

    def run(self) -> None:
        super().run()
        if self.editable_mode:
            return
        shutil.rmtree(self.build_lib / _TARGET, ignore_errors=True)  # build/lib may be an earlier version's
        for source, copy in self._pair_templates():
            self.mkpath(str(copy.parent))
            self.copy_file(str(source), str(copy))

    def get_source_files(self) -> list[str]:
        """Return what a source distribution has to hold."""
        return [*super().get_source_files(), *map(str, list_templates())]

    def get_outputs(self, include_bytecode: bool = True) -> list[str]:
        """Return what a wheel holds."""
        copies = [] if self.editable_mode else [str(copy) for _, copy in self._pair_templates()]
        return [*super().get_outputs(include_bytecode), *copies]

    def _pair_templates(self) -> Iterator[tuple[Path, Path]]:
        for source in list_templates():
            yield source, self.build_lib / _TARGET / source.relative_to(_SOURCE)


setup(cmdclass={"build_py": BuildWithTemplates})
