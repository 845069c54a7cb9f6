"""What imagekit asks a cluster exists there: each path, verb and parameter, by Proxmox VE's own schema.

The schema is data beside the project, not part of it; where it is not there, nothing is tested.
"""

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest

from imagekit.cluster.api import Cluster
from imagekit.cluster.leftovers import find_leftovers
from imagekit.cluster.preflight import examine_cluster
from imagekit.cluster.removal import remove_leftover
from imagekit.cluster.template import find_vm, read_template_config
from tests.cluster.test_leftovers import PLACEMENT, TAGS
from tests.cluster.test_preflight import CLONE, NEED

_PLACE = Path(__file__).parents[3] / "shared" / "pve-api"
_FILES = sorted(_PLACE.glob("apidoc*.json"))
pytestmark = pytest.mark.skipif(not _FILES, reason="the schema is not beside the project")
Asked = tuple[str, str, frozenset[str]]


@pytest.fixture
def asked(cluster: Cluster, pve: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> set[Asked]:
    """Verb, path and parameter names of everything that a round through the room asks."""
    seen: set[Asked] = set()
    ask = Cluster._ask

    def note(self: Cluster, verb: str, path: str, parameters: Mapping[str, Any]) -> object:
        seen.add((verb, path, frozenset(parameters)))
        return ask(self, verb, path, parameters)

    monkeypatch.setattr(Cluster, "_ask", note)
    pve.add_vm(9000, "debian", template=True, config={"bios": "ovmf"})
    pve.add_vm(9105, "dead", status="running", config={"tags": TAGS})
    pve.store_file("local", "imagekit-seed-0123456789ab.iso", 1000)
    pve.store_file("local", "debian.iso", 1000)
    for need in (NEED, CLONE):
        examine_cluster(cluster, need)
    for leftover in find_leftovers(cluster, PLACEMENT):
        remove_leftover(cluster, leftover)
    find_vm(cluster, 9000)
    read_template_config(cluster, "pve1", 9000)
    seed = tmp_path / "seed.iso"
    seed.write_bytes(b"seed")
    cluster.upload("/nodes/pve1/storage/local/upload", "iso", seed, "seed.iso")
    return seen


def _list_methods(tree: Any) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for node in tree if isinstance(tree, list) else [tree]:
        for verb, method in node.get("info", {}).items():
            yield verb, node["path"], method
        yield from _list_methods(node.get("children") or [])


@pytest.mark.parametrize("schema", _FILES, ids=lambda path: path.stem)
def test_requests_exist(asked: set[Asked], schema: Path) -> None:
    """Every request that is made is one of this release's, with no parameter that it does not know."""
    methods = list(_list_methods(json.loads(schema.read_text(encoding="utf-8"))))
    assert len(methods) > 500
    assert {verb for verb, _path, _names in asked} == {"GET", "POST", "DELETE"}
    for verb, path, names in asked:
        matching = [
            method for known, template, method in methods
            if known == verb and re.fullmatch(re.sub(r"\\\{[^}]*\\\}", "[^/]+", re.escape(template)), path)
        ]  # fmt: skip
        assert len(matching) == 1, f"{verb} {unquote(path)}"
        known_names = set(matching[0].get("parameters", {}).get("properties", {}))
        assert names <= known_names, f"{verb} {path}: {names - known_names}"
