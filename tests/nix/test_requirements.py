"""The package's dependencies are pyproject.toml's own, under the names that nixpkgs has for them."""

import json
import tomllib
from pathlib import Path
from typing import Any

from tests.nix.conftest import ROOT, Evaluator, quote


def name_packages(nix: Evaluator, requirements: list[str], python: str = "3.13") -> Any:
    """Return the names of Python packages for these requirements."""
    listed = " ".join(map(quote, requirements))
    return nix.evaluate(f'import {ROOT}/nix/cli/requirements.nix {{ pythonVersion = "{python}"; }} [ {listed} ]')


def test_our_requirements_are_in_nixpkgs(nix: Evaluator) -> None:
    """Each dependency is one name that was looked up there; a new one fails here until it is in the record."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    names = name_packages(nix, project["dependencies"])
    assert len(names) == len(project["dependencies"])
    recorded = json.loads((Path(__file__).parent / "nixpkgs_packages.json").read_text())["python"]
    assert set(recorded) - set(names) == {"hypothesis", "pytestCheckHook", "setuptools"}  # for tests, and to build
    assert set(names) - set(recorded) == set()


def test_markers_count(nix: Evaluator) -> None:
    """A requirement of older Pythons is none of a newer one; a marker about Windows changes nothing here."""
    given = ["backports.zstd>=1; python_version < '3.14'", "sh>=2.2; sys_platform != 'win32'"]
    assert name_packages(nix, given, "3.13") == ["backports-zstd", "sh"]
    assert name_packages(nix, given, "3.14") == ["sh"]
    assert name_packages(nix, given, "3.15") == ["sh"]


def test_names_are_normalised(nix: Evaluator) -> None:
    """As PEP 503 has it: small letters, one hyphen for each run of hyphens, dots and underscores."""
    assert name_packages(nix, ["Foo_.Bar[extra]>=1", "PyYAML"]) == ["foo-bar", "pyyaml"]
