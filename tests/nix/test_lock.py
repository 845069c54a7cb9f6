"""flake.lock belongs to flake.nix: complete, of one input, and Nix has nothing to add to it without a network."""

import json
import re
import shutil
from pathlib import Path

from tests.nix.conftest import ROOT, Evaluator


def test_lock_is_of_the_one_input() -> None:
    """nixpkgs is locked to a commit and a hash of its contents, for the branch that flake.nix names."""
    lock = json.loads((ROOT / "flake.lock").read_text())
    assert lock["nodes"]["root"]["inputs"] == {"nixpkgs": "nixpkgs"}
    assert set(lock["nodes"]) == {"root", "nixpkgs"}
    node = lock["nodes"]["nixpkgs"]
    original = node["original"]
    named = re.findall(r'inputs\.(\w+)\.url = "([^"]+)"', (ROOT / "flake.nix").read_text())
    assert named == [("nixpkgs", f"{original['type']}:{original['owner']}/{original['repo']}/{original['ref']}")]
    assert re.fullmatch(r"[0-9a-f]{40}", node["locked"]["rev"])
    assert re.fullmatch(r"sha256-[A-Za-z0-9+/]{43}=", node["locked"]["narHash"])
    assert (node["locked"]["owner"], node["locked"]["repo"]) == (original["owner"], original["repo"])


def test_nix_changes_nothing_in_the_lock(nix: Evaluator, tmp_path: Path) -> None:
    """``nix flake lock`` without a network ends well and leaves every byte as it is."""
    for name in ("flake.nix", "flake.lock"):
        shutil.copy(ROOT / name, tmp_path)
    before = (tmp_path / "flake.lock").read_bytes()
    nix.store.run("nix", "flake", "lock", f"path:{tmp_path}")
    assert (tmp_path / "flake.lock").read_bytes() == before


def test_lock_out_of_step_would_be_seen(nix: Evaluator, tmp_path: Path) -> None:
    """With another branch in flake.nix the same command wants the network, and fails."""
    shutil.copy(ROOT / "flake.lock", tmp_path)
    text = (ROOT / "flake.nix").read_text()
    (tmp_path / "flake.nix").write_text(re.sub(r"nixos-\d\d\.\d\d", "nixos-99.99", text))
    seen = nix.store.run("nix", "flake", "lock", f"path:{tmp_path}", check=False)
    assert seen.status != 0


def test_nix_reads_the_lock_as_we_do(nix: Evaluator, tmp_path: Path) -> None:
    """``nix flake metadata`` tells the locked commit."""
    for name in ("flake.nix", "flake.lock"):
        shutil.copy(ROOT / name, tmp_path)
    seen = json.loads(nix.store.run("nix", "flake", "metadata", "--json", f"path:{tmp_path}").output)
    ours = json.loads((ROOT / "flake.lock").read_text())
    assert seen["locks"]["nodes"]["nixpkgs"]["locked"] == ours["nodes"]["nixpkgs"]["locked"]
    assert seen["description"]
