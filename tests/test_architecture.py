"""The house: which room may import which, who may use which library, and what no file may do.

The checker reads source as syntax trees, so it sees imports inside functions too and loads nothing. Each rule is shown
to catch a planted violation.
"""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import pytest

_ROOT = Path(__file__).parent.parent

# Who stands on whom: a room imports only from rooms with a lower number, and from itself.
_RANKS = {
    "errors": 0,
    "progress": 0,
    "durable": 1,
    "image": 1,
    "report": 2,
    "host": 3,
    "cluster": 4,
    "machine": 4,
    "disk": 4,
    "definition": 5,
    "settings": 6,
    "build": 7,
    "verify": 7,
    "store": 7,
    "deliver": 7,
    "doctor": 8,
    "pipeline": 8,
    "cli": 9,
    "__main__": 10,
}
# Third-party modules, each with the places that may import it.
_DOORS = {
    "backports": ("imagekit",),
    "click": ("imagekit/cli",),
    "compression": ("imagekit/disk/containers/zstd.py",),  # part of the standard library from Python 3.14 on
    "cryptography": ("imagekit/host",),  # paramiko's own keys are its objects
    "dns": ("imagekit/deliver/deploy/health.py",),
    "hcl2": ("imagekit/build/packer/hcl.py",),
    "jinja2": ("imagekit/build/render.py", "imagekit/build/render"),
    "lark": ("imagekit/build/packer/hcl.py",),  # python-hcl2's parser, whose errors have the line
    "msgspec": ("imagekit",),
    "paramiko": ("imagekit/host",),
    "proxmoxer": ("imagekit/cluster",),
    "pycdlib": ("imagekit/machine",),
    "pyfsxfs": ("imagekit/disk/child/libyal_child.py",),  # C that parses hostile bytes: only in the child process
    "pyvhdi": ("imagekit/disk/child/libyal_child.py",),
    "pyvmdk": ("imagekit/disk/child/libyal_child.py",),
    "requests": ("imagekit/cluster",),
    "requests_toolbelt": ("imagekit/cluster",),
    "sh": ("imagekit/host",),
    "tomlkit": ("imagekit/build/update/project_file.py",),
    "tqdm": ("imagekit/cli",),
    "yaml": ("imagekit",),
}
_LAZY = frozenset(
    {
        "cryptography",
        "dns",
        "hcl2",
        "jinja2",
        "lark",
        "paramiko",
        "proxmoxer",
        "requests",
        "requests_toolbelt",
        "pycdlib",
        "pyfsxfs",
        "pyvhdi",
        "pyvmdk",
        "sh",
        "tomlkit",
        "yaml",
    }
)
_PROCESS_MODULES = frozenset({"subprocess", "multiprocessing", "pty", "popen2", "commands"})
_PROCESS_CALLS = ("system", "popen", "exec", "spawn", "posix_spawn", "startfile")
_EXITS = frozenset({"sys.exit", "os._exit", "exit", "quit", "SystemExit"})
_NO_NAMES = frozenset({"utils", "util", "helpers", "helper", "common", "base", "core", "manager", "services", "misc"})
_LONGEST = 400


def check_source(path: str, source: str) -> list[str]:
    """Return every way in which the file ``path`` (from the project's root, with '/') breaks a rule."""
    place = PurePosixPath(path)
    found = [f"{path}: {part!r} names no subject" for part in (*place.parent.parts, place.stem) if part in _NO_NAMES]
    if (length := source.count("\n")) > _LONGEST:
        found.append(f"{path}: {length} lines are more than {_LONGEST}")
    room = _name_room(place)
    if room is not None and room not in _RANKS:
        found.append(f"{path}: {room!r} is not a room of the house")
    tree = ast.parse(source)
    for line, module, lazy in _list_imports(tree):
        for problem in _check_import(path, room, module, lazy):
            found.append(f"{path}:{line}: {problem}")
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.level:
            found.append(f"{path}:{node.lineno}: relative import")
        found.extend(f"{path}:{line}: {problem}" for line, problem in _check_calls(path, node))
    return found


def _name_room(place: PurePosixPath) -> str | None:
    """Return the room of a file under imagekit/; None for imagekit/__init__.py, which every room may import."""
    if place.parts[0] != "imagekit" or place.parts[1:] == ("__init__.py",):
        return None
    return PurePosixPath(place.parts[1]).stem


def _list_imports(tree: ast.Module) -> Iterator[tuple[int, str, bool]]:
    """Yield each import's line, dotted module, and whether it waits until a function is called (or is for types)."""
    lazy_nodes = {
        inner
        for outer in ast.walk(tree)
        if isinstance(outer, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        or (isinstance(outer, ast.If) and "TYPE_CHECKING" in ast.unparse(outer.test))
        for inner in ast.walk(outer)
    }
    for node in ast.walk(tree):
        lazy = node in lazy_nodes
        match node:
            case ast.Import(names=names):
                yield from ((node.lineno, alias.name, lazy) for alias in names)
            case ast.ImportFrom(module=str(module), names=names, level=0):
                # `from imagekit import store` names a room only together with what it takes
                yield from ((node.lineno, f"{module}.{alias.name}", lazy) for alias in names)
            case ast.Call(func=function, args=[ast.Constant(value=str(module)), *_]):
                if ast.unparse(function) in ("__import__", "import_module", "importlib.import_module"):
                    yield function.lineno, module, lazy


def _check_import(path: str, room: str | None, module: str, lazy: bool) -> Iterator[str]:
    top, *rest = module.split(".")
    if top in _PROCESS_MODULES or (module.startswith("asyncio.") and "subprocess" in module):
        yield f"{top} starts processes; imagekit.host.run does that"
    elif top == "imagekit":
        if rest and room in _RANKS and rest[0] != room and rest[0] in _RANKS and _RANKS[rest[0]] >= _RANKS[room]:
            yield f"{room} may not import {rest[0]}: imports point down only"
        elif rest and path.startswith("imagekit/") and room is None and rest[0] in _RANKS:
            yield "the package itself imports no room, or every room would load it"
    elif path.startswith("imagekit/") and top not in sys.stdlib_module_names:
        if top not in _DOORS:
            yield f"{top} has no door; add it to the design first"
        elif not any(path == door or path.startswith(f"{door}/") for door in _DOORS[top]):
            yield f"{top} may be imported only in {' or '.join(_DOORS[top])}"
        elif top in _LAZY and not lazy:
            yield f"{top} is slow to load; import it inside the function"


def _check_calls(path: str, node: ast.AST) -> Iterator[tuple[int, str]]:
    match node:
        case ast.Attribute(value=ast.Name(id="os"), attr=name) if name.startswith(_PROCESS_CALLS):
            yield node.lineno, f"os.{name} starts a process; imagekit.host.run does that"
        case ast.ImportFrom(module="os", names=names):
            for alias in names:
                if alias.name.startswith(_PROCESS_CALLS):
                    yield node.lineno, f"os.{alias.name} starts a process; imagekit.host.run does that"
        case ast.Attribute(value=ast.Name(id="asyncio"), attr=name) if name.startswith("create_subprocess"):
            yield node.lineno, f"asyncio.{name} starts a process; imagekit.host.run does that"
        case _:
            pass
    if not path.startswith("imagekit/") or path == "imagekit/__main__.py":
        return
    match node:
        case ast.Call(func=function) if ast.unparse(function) in _EXITS:
            yield node.lineno, f"{ast.unparse(function)} ends the process; raise an ImagekitError"
        case ast.Raise(exc=ast.Name(id="SystemExit")):
            yield node.lineno, "SystemExit ends the process; raise an ImagekitError"
        case ast.ImportFrom(module="sys", names=names) if any(alias.name == "exit" for alias in names):
            yield node.lineno, "sys.exit ends the process; raise an ImagekitError"
        case _:
            pass


def _list_sources(directory: str) -> list[str]:
    return sorted(path.relative_to(_ROOT).as_posix() for path in (_ROOT / directory).rglob("*.py"))


def _check_files(paths: list[str]) -> list[str]:
    return [problem for path in paths for problem in check_source(path, (_ROOT / path).read_text(encoding="utf-8"))]


def test_package_keeps_the_rules() -> None:
    """No module of the package breaks a rule of the house."""
    paths = _list_sources("imagekit")
    assert "imagekit/errors.py" in paths
    assert _check_files(paths) == []


def test_tests_start_no_processes() -> None:
    """No test starts a process behind imagekit.host, is too long, or has a name without a subject."""
    paths = _list_sources("tests")
    assert "tests/test_architecture.py" in paths
    assert _check_files(paths) == []


@pytest.mark.parametrize(
    ("path", "source", "said"),
    [
        # direction
        ("imagekit/host/ssh.py", "from imagekit.store import pin\n", "host may not import store"),
        ("imagekit/errors.py", "from imagekit import image\n", "errors may not import image"),
        ("imagekit/errors.py", "import imagekit.progress\n", "errors may not import progress"),
        ("imagekit/image.py", "def f():\n    from imagekit.report import Report\n", "image may not import report"),
        ("imagekit/definition/read.py", "import imagekit.settings\n", "definition may not import settings"),
        ("imagekit/disk/gpt.py", "import imagekit.definition.model as m\n", "disk may not import definition"),
        ("imagekit/verify/boot.py", "import imagekit.pipeline\n", "verify may not import pipeline"),
        ("imagekit/pipeline.py", "from imagekit.cli import main\n", "pipeline may not import cli"),
        ("imagekit/host/x.py", 'import importlib\nimportlib.import_module("imagekit.cli")\n', "may not import cli"),
        ("imagekit/__init__.py", "from imagekit.store import pin\n", "the package itself imports no room"),
        # siblings
        ("imagekit/build/local.py", "from imagekit.verify import view\n", "build may not import verify"),
        ("imagekit/verify/a.py", "from imagekit.store import layout\n", "verify may not import store"),
        ("imagekit/store/a.py", "from imagekit.deliver import clone\n", "store may not import deliver"),
        ("imagekit/deliver/a.py", "from imagekit import build\n", "deliver may not import build"),
        ("imagekit/machine/qemu.py", "from imagekit.disk import gpt\n", "machine may not import disk"),
        ("imagekit/disk/gpt.py", "from imagekit.machine import model\n", "disk may not import machine"),
        # relative
        ("imagekit/store/a.py", "from . import layout\n", "relative import"),
        ("imagekit/store/a.py", "def f():\n    from ..host import run\n", "relative import"),
        # doors
        ("imagekit/pipeline.py", "import click\n", "click may be imported only in imagekit/cli"),
        ("imagekit/build/local.py", "def f():\n    import tqdm\n", "tqdm may be imported only in imagekit/cli"),
        ("imagekit/build/local.py", "def f():\n    import sh\n", "sh may be imported only in imagekit/host"),
        ("imagekit/verify/ssh.py", "def f():\n    import paramiko\n", "paramiko may be imported only in"),
        ("imagekit/build/local.py", "def f():\n    import jinja2\n", "jinja2 may be imported only in"),
        ("imagekit/disk/iso.py", "def f():\n    import pycdlib\n", "pycdlib may be imported only in imagekit/machine"),
        ("imagekit/disk/xfs/x.py", "def f():\n    import pyfsxfs\n", "pyfsxfs may be imported only in imagekit/disk/c"),
        ("imagekit/disk/child/libyal_child.py", "import pyvmdk\n", "pyvmdk is slow to load"),
        ("imagekit/disk/lvm.py", "def f():\n    import pyvslvm\n", "pyvslvm has no door"),
        ("imagekit/disk/ext4.py", "def f():\n    from dissect.extfs import ExtFS\n", "dissect has no door"),
        ("imagekit/disk/ext4.py", "def f():\n    import atheris\n", "atheris has no door"),
        ("imagekit/store/a.py", "import requests\n", "requests may be imported only in imagekit/cluster"),
        ("imagekit/machine/seed.py", "import yaml\n", "yaml is slow to load"),
        ("imagekit/host/local.py", "from sh import Command\n", "sh is slow to load"),
        ("imagekit/host/local.py", "class A:\n    import sh\n", "sh is slow to load"),
        # processes
        ("imagekit/host/local.py", "import subprocess\n", "subprocess starts processes"),
        ("imagekit/host/local.py", "def f():\n    from subprocess import run\n", "subprocess starts processes"),
        ("tests/test_a.py", "import subprocess as s\n", "subprocess starts processes"),
        ("tests/test_a.py", '__import__("subprocess")\n', "subprocess starts processes"),
        ("imagekit/host/local.py", "import os\nos.system('ls')\n", "os.system starts a process"),
        ("imagekit/host/local.py", "import os\nx = os.popen\n", "os.popen starts a process"),
        ("imagekit/host/local.py", "from os import popen\n", "os.popen starts a process"),
        ("imagekit/host/local.py", "import os\nos.execvp('ls', [])\n", "os.execvp starts a process"),
        ("imagekit/host/a.py", "import asyncio\nasyncio.create_subprocess_exec('ls')\n", "create_subprocess_exec"),
        ("imagekit/host/a.py", "import asyncio.subprocess\n", "asyncio starts processes"),
        # exits
        ("imagekit/cli/main.py", "import sys\nsys.exit(1)\n", "sys.exit ends the process"),
        ("imagekit/build/a.py", "from sys import exit\n", "sys.exit ends the process"),
        ("imagekit/build/a.py", "exit(1)\n", "exit ends the process"),
        ("imagekit/build/a.py", "raise SystemExit\n", "SystemExit ends the process"),
        ("imagekit/build/a.py", "raise SystemExit(2)\n", "SystemExit ends the process"),
        # files
        ("imagekit/store/a.py", "x = 1\n" * 401, "401 lines are more than 400"),
        ("imagekit/store/utils.py", "", "'utils' names no subject"),
        ("imagekit/store/helpers/a.py", "", "'helpers' names no subject"),
        ("imagekit/build/common.py", "", "'common' names no subject"),
        ("imagekit/build/base.py", "", "'base' names no subject"),
        ("imagekit/core/a.py", "", "'core' names no subject"),
        ("imagekit/store/manager.py", "", "'manager' names no subject"),
        ("imagekit/services/__init__.py", "", "'services' names no subject"),
        ("imagekit/attic/a.py", "", "'attic' is not a room"),
    ],
)  # fmt: skip
def test_checker_catches(path: str, source: str, said: str) -> None:
    """A planted violation of each rule is caught and named."""
    assert any(said in problem for problem in check_source(path, source))


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("imagekit/__main__.py", "import sys\nfrom imagekit.cli import main\nsys.exit(main())\n"),
        (
            "imagekit/cli/main.py",
            "import click\nfrom imagekit import __version__\nfrom imagekit.pipeline import build\n",
        ),
        ("imagekit/pipeline.py", "from imagekit import build, deliver, store, verify\n"),
        ("imagekit/build/render.py", "def f():\n    import jinja2\n    import yaml\n"),
        ("imagekit/host/ssh.py", "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import paramiko\n"),
        ("imagekit/settings.py", "from imagekit.definition.problems import Wrong\n"),
        ("imagekit/verify/a.py", "from imagekit.verify.view import View\nimport os\nos.walk('.')\n"),
        ("tests/store/test_a.py", "import pytest\nimport click\nfrom imagekit.cli import main\n"),
    ],
)
def test_checker_lets_pass(path: str, source: str) -> None:
    """What the rules allow is not complained about."""
    assert check_source(path, source) == []
