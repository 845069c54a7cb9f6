"""A Nix that evaluates our files: its store belongs to the tests of one module, and there is no network in it."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.nix_store import OwnStore, make_own_store

ROOT = Path(__file__).parents[2]
NIX_FILES = sorted(
    path for path in [ROOT / "flake.nix", *(ROOT / "nix").rglob("*.nix"), *Path(__file__).parent.rglob("*.nix")]
)
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ1n0i8pVf0bDx0nJ4n0tQ4VbqfE0f2GZ0h1c2d3e4f5 someone@laptop"


@dataclass(frozen=True, slots=True)
class Evaluator:
    """``store`` is where Nix works; nothing is built in it."""

    store: OwnStore

    def evaluate(self, expression: str) -> Any:
        """Return the value of a Nix expression, all of it; Nix's own error when it has none."""
        seen = self.store.run("nix-instantiate", "--eval", "--strict", "--json", "--expr", expression)
        return json.loads(seen.output)

    def refuse(self, expression: str) -> str:
        """Return what Nix says about an expression that has no value."""
        seen = self.store.run("nix-instantiate", "--eval", "--strict", "--json", "--expr", expression, check=False)
        assert seen.status != 0, seen.output.decode()
        return seen.errors

    def describe(self, rooms: tuple[str, ...] = ("pihole", "base", "image"), /, **values: object) -> Mapping[str, Any]:
        """Return what our modules tell NixOS when ``imagekit.pihole`` has these values, and the values in force."""
        given = json.dumps({"enable": True, "authorizedKeys": [KEY], **values})
        modules = " ".join(f"{ROOT}/nix/{room}" for room in rooms)
        stand_in = Path(__file__).parent / "stand_in" / "pihole.nix"
        found: dict[str, Any] = self.evaluate(
            f"import {stand_in} {{ modules = [ {modules} ]; values = {quote(given)}; }}"
        )
        return found


def quote(text: str) -> str:
    """Return ``text`` as a Nix string."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("${", "\\${") + '"'


@pytest.fixture(scope="module")
def nix(tmp_path_factory: pytest.TempPathFactory) -> Evaluator:
    """Return a Nix with a store of its own."""
    return Evaluator(make_own_store(tmp_path_factory.mktemp("nix")))
