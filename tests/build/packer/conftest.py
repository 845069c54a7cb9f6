"""The real Packer for tests, and places for one build."""

import json
import os
import secrets
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from imagekit.build.packer.mask import Masker
from imagekit.build.packer.processes import end_processes, find_processes
from imagekit.build.packer.remains import open_build
from imagekit.build.packer.run import Outcome, run_build
from imagekit.build.packer.tool import PackerTool, find_packer
from imagekit.errors import ToolMissing
from imagekit.progress import Event

# Read at import: every test then gets a home of its own.
_BUILT = os.environ.get("IMAGEKIT_TEST_PACKER", "")
_CACHE = Path(
    os.environ.get("IMAGEKIT_CACHE")
    or Path(os.environ.get("XDG_CACHE_HOME") or Path("~/.cache").expanduser()) / "imagekit"
)


@pytest.fixture(scope="session")
def found_packer() -> PackerTool:
    """Return the Packer that ``just packer-tools`` built, or that IMAGEKIT_TEST_PACKER names; without one, fail.

    Not one that happens to be on PATH: tests rely on the pinned versions.
    """
    place = Path(_BUILT) if _BUILT else _CACHE / "packer-tools" / "current"
    try:
        return find_packer(place / "bin/packer", place / "plugins", _CACHE)
    except ToolMissing as problem:
        pytest.fail(f"{problem.message}: run `just packer-tools`, or set IMAGEKIT_TEST_PACKER to bin/ and plugins/")


@pytest.fixture
def packer(found_packer: PackerTool, tmp_path: Path) -> PackerTool:
    """Return the real Packer with a cache of this test's own."""
    tool = found_packer
    return PackerTool(tool.program, tool.version, tool.plugin_directory, tool.plugins, tmp_path / "cache")


@dataclass
class Builder:
    """Runs one build of a template that is given as text, and keeps what can be asked about afterwards."""

    tool: PackerTool
    place: Path
    build_id: str = field(default_factory=lambda: f"test-{secrets.token_hex(4)}")
    events: list[Event] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.workspace = self.place / "workspace"
        self.state = self.place / "state"
        self.template = self.place / "template"
        self.log = self.place / "logs" / "packer.log"
        for directory in (self.workspace, self.template):
            directory.mkdir(parents=True)

    def write(self, text: str) -> "Builder":
        """Put the template where Packer looks."""
        (self.template / "test.pkr.hcl").write_text(text)
        return self

    def run(self, masker: Masker | None = None, **options: object) -> Outcome:
        """Build, as the pipeline would."""
        options.setdefault("progress", self.events.append)
        with open_build(self.state, self.build_id, workspace=self.workspace) as build:
            return run_build(
                self.tool,
                self.template,
                build=build,
                workspace=self.workspace,
                log=self.log,
                masker=masker or Masker(),
                **options,  # type: ignore[arg-type] # run_build's own keywords
            )

    def assert_nothing_left(self) -> None:
        """Say that no process, no record and no file of Packer's is left."""
        assert find_processes(self.build_id) == ()
        assert [path.name for path in self.workspace.iterdir() if path.name.startswith("pk-")] == []
        assert list((self.state / "packer").iterdir()) == []


@pytest.fixture
def builder(packer: PackerTool, tmp_path: Path) -> Iterator[Builder]:
    """Return a builder in an empty place, and end what its build leaves running."""
    one = Builder(packer, tmp_path)
    yield one
    end_processes(one.build_id, grace=0)


def write_shell(*lines: str, extra: str = "") -> str:
    """Return a template whose machine is none and whose provisioner runs ``lines`` on this machine."""
    inline = ", ".join(json.dumps(line).replace("${", "$${") for line in lines)
    return f"""{extra}
source "null" "test" {{
  communicator = "none"
}}
build {{
  sources = ["source.null.test"]
  provisioner "shell-local" {{
    inline = [{inline}]
  }}
}}
"""
