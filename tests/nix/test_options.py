"""Every NixOS option that our modules set or read was looked up in nixpkgs, and is recorded with its file there.

The record is ``nixos_options.json``. A new option in a module fails here until somebody has looked it up; one that is
no longer used fails until it is taken out.
"""

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.nix.conftest import ROOT, Evaluator

_RECORD = json.loads((Path(__file__).parent / "nixos_options.json").read_text())
_RECORDED = {tuple(split) for split in ([part.strip('"') for part in name.split(".")] for name in _RECORD["set"])}

# Together these reach every option that any value makes our modules set.
_CASES: list[dict[str, Any]] = [
    {},
    {"interface": "end0", "metrics": {"allowFrom": ["192.168.0.0/24"]}, "passwordFile": "/run/secrets/pihole"},
    {"images": {name: {"hash": "sha256-" + "A" * 43 + "="} for name in ("pihole", "unbound")}},
    {"authorizedKeys": []},
]


def matches(recorded: tuple[str, ...], path: tuple[str, ...]) -> bool:
    """Say whether a recorded option is what is set at ``path``, or holds it: ``<name>`` stands for any name."""
    return len(recorded) <= len(path) and all(a in (b, "<name>") for a, b in zip(recorded, path, strict=False))


def find_option(path: tuple[str, ...]) -> tuple[str, ...] | None:
    """Return the recorded option that has ``path``."""
    return next((recorded for recorded in _RECORDED if matches(recorded, path)), None)


def walk(told: Mapping[str, Any], path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Yield each option that is set, as deep as the record goes; a path that it does not have down to its end."""
    for name, value in told.items():
        here = (*path, name)
        found = find_option(here)
        if found is not None:
            yield found
        elif isinstance(value, dict) and value and "package" not in value:
            yield from walk(value, here)
        else:
            yield here


@pytest.fixture(scope="module")
def used(nix: Evaluator) -> set[tuple[str, ...]]:
    """Return every option that our modules set in any of the cases, and in the part that only a checkout has."""
    found = {option for case in _CASES for option in walk(nix.describe(**case)["told"])}
    # The site's values set our own options, and one more in a checkout that has none.
    for name in re.findall(r"^\s+([a-z]+\.[a-zA-Z.]+) = \[", (ROOT / "nix" / "site" / "default.nix").read_text(), re.M):
        found |= set(walk({name.split(".")[0]: {name.split(".")[1]: []}}))
    return found


def test_every_option_was_looked_up(used: set[tuple[str, ...]]) -> None:
    """No module sets an option that is not in the record."""
    assert used - _RECORDED == set()


def test_no_option_is_recorded_in_vain(used: set[tuple[str, ...]]) -> None:
    """The record has no option that is not set."""
    assert _RECORDED - used == set()


def test_record_names_files_of_nixpkgs() -> None:
    """Each option has a type and a file below nixos/ that declares it."""
    for name, entry in {**_RECORD["set"], **_RECORD["read"]}.items():
        assert set(entry) == {"declared_in", "type"}, name
        assert re.fullmatch(r"nixos/(?:modules|lib)/[\w./-]+\.nix", entry["declared_in"]), name
        assert entry["type"]


def test_options_that_are_read_are_recorded() -> None:
    """What our modules ask of others' options is in the record too, and nothing else."""
    texts = [
        path.read_text() for room in ("pihole", "base", "image", "site") for path in (ROOT / "nix" / room).glob("*.nix")
    ]
    asked = {
        found
        for text in texts
        for found in re.findall(r"(?<![\w.\"])config\.([a-zA-Z][\w.-]+)", text)
        if not found.startswith("imagekit.")
    }
    inherited = {
        f"{where}.{name}" for text in texts for where, name in re.findall(r"inherit \(config\.([\w.-]+)\) (\w+);", text)
    }
    assert {name for name in asked if not any(name == full.rsplit(".", 1)[0] for full in inherited)} | inherited == set(
        _RECORD["read"]
    )


def test_walk_finds_a_misspelt_option() -> None:
    """An option that NixOS does not have, a letter away from one that it has, is reported with its whole path."""
    assert list(walk({"services": {"openssh": {"enabled": True}}})) == [("services", "openssh", "enabled")]
    assert list(walk({"zramSwap": {"enable": True}})) == [("zramSwap", "enable")]
