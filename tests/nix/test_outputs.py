"""The outputs of the flake, wired up by a real Nix over a stand-in for nixpkgs, whose names were looked up.

The stand-in has a derivation for each package that is recorded in ``nixpkgs_packages.json``, and for nothing else. What
the packages come to cannot be seen here; CI builds them where there is a network.
"""

import json
import re
import shutil
from ipaddress import IPv4Interface
from pathlib import Path
from typing import Any

import pytest

from imagekit.build.nix.stage import stage_flake
from imagekit.definition import NixBuild, Site, make_sd_image
from tests.nix.conftest import KEY, ROOT, Evaluator

_HERE = Path(__file__).parent
_SYSTEMS = ["aarch64-darwin", "aarch64-linux", "x86_64-darwin", "x86_64-linux"]
_RECORD = json.loads((_HERE / "nixpkgs_packages.json").read_text())
_PACKAGES, _PYTHON = _RECORD["packages"], sorted(_RECORD["python"])


def stage(directory: Path) -> tuple[Path, Path]:
    """Copy the flake and the stand-in into ``directory``; return where each is."""
    flake, nixpkgs = directory / "flake", directory / "inputs"
    left_out = shutil.ignore_patterns("__pycache__")
    for name in ("docs", "imagekit", "nix", "packer", "tests/nix", "vagrant"):
        shutil.copytree(ROOT / name, flake / name, ignore=left_out)
    for name in ("flake.nix", "flake.lock", "pyproject.toml", "setup.py", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, flake)
    shutil.copytree(_HERE / "stand_in" / "nixpkgs", nixpkgs)
    for name in ("lib.nix", "packages.nix"):
        shutil.copy(_HERE / "stand_in" / name, nixpkgs / f"modules_{name}")
    shutil.copytree(_HERE / "stand_in" / "modules", nixpkgs / "modules")
    for path in nixpkgs.glob("*.nix"):  # a flake cannot see above itself
        path.write_text(
            re.sub(r"\.\./(lib|packages)\.nix", r"./modules_\1.nix", path.read_text()).replace(
                "../modules", "./modules"
            )
        )
    (nixpkgs / "packages.json").write_text(json.dumps(_PACKAGES))
    (nixpkgs / "python.json").write_text(json.dumps(_PYTHON))
    return flake, nixpkgs


class Flake:
    """Our flake with the stand-in as its input."""

    def __init__(self, nix: Evaluator, directory: Path) -> None:
        self.nix = nix
        self.flake, self.nixpkgs = stage(directory)

    def run(self, *arguments: str, check: bool = True) -> Any:
        """Run ``nix`` with the stand-in for nixpkgs."""
        over = ["--override-input", "nixpkgs", f"path:{self.nixpkgs}", "--no-write-lock-file"]
        return self.nix.store.run("nix", *arguments, *over, check=check)

    def ask(self, attribute: str, function: str) -> Any:
        """Return what a function says of one of the outputs."""
        seen = self.run("eval", "--json", f"path:{self.flake}#{attribute}", "--apply", function)
        return json.loads(seen.output)


@pytest.fixture(scope="module")
def flake(nix: Evaluator, tmp_path_factory: pytest.TempPathFactory) -> Flake:
    """Return our flake over the stand-in."""
    return Flake(nix, tmp_path_factory.mktemp("flake"))


def test_flake_check_takes_every_output(flake: Flake) -> None:
    """``nix flake check --no-build`` of Nix 2.8 evaluates all outputs of all systems, and has nothing to say."""
    assert flake.run("flake", "check", "--no-build", f"path:{flake.flake}").status == 0


def test_outputs_are_those_that_people_expect(flake: Flake) -> None:
    """Each output is there, for the four systems where there is one for each."""
    for name in ("packages", "apps", "devShells", "checks", "formatter"):
        assert flake.ask(name, "builtins.attrNames") == _SYSTEMS, name
    assert flake.ask("packages.x86_64-linux", "builtins.attrNames") == ["default", "imagekit"]
    assert flake.ask("packages.aarch64-linux", "builtins.attrNames") == [
        "default", "imagekit", "pihole-image", "pihole-test-image",
    ]  # fmt: skip
    assert flake.ask("nixosConfigurations", "builtins.attrNames") == ["pihole", "pihole-test"]
    assert flake.ask("nixosModules", "builtins.attrNames") == ["base", "default", "image", "pihole"]
    assert flake.ask("overlays", "builtins.attrNames") == ["default"]
    assert flake.ask("checks.x86_64-linux", "builtins.attrNames") == ["dns", "package", "pihole-evaluates", "style"]
    assert flake.ask("checks.aarch64-darwin", "builtins.attrNames") == ["package", "pihole-evaluates", "style"]
    assert flake.ask("formatter.x86_64-linux", "package: package.pname") == "nixfmt-tree"


def test_package_is_what_pyproject_says(flake: Flake) -> None:
    """Version, description and dependencies are the project's own; Packer and Vagrant are no part of it."""
    given = flake.ask(
        "packages.x86_64-linux.default",
        "package: { inherit (package.given) version meta; wrapper = package.given.makeWrapperArgs;"
        " needs = map (one: one.pname) package.given.dependencies; }",
    )
    init = (ROOT / "imagekit" / "__init__.py").read_text()
    assert f'__version__ = "{given["version"]}"' in init
    assert given["meta"]["mainProgram"] == "imagekit"
    assert {"click", "python-hcl2", "backports-zstd"} <= set(given["needs"])
    path = given["wrapper"][3]
    assert all(f"-{name}/bin" in path for name in ("qemu", "mtools", "mmdebstrap", "openssh"))
    assert not re.search("packer|vagrant", path)


def test_mac_gets_no_tools_of_linux(flake: Flake) -> None:
    """On macOS the wrapper leaves out what exists for Linux alone."""
    path = flake.ask("packages.aarch64-darwin.default", "package: builtins.elemAt package.given.makeWrapperArgs 3")
    assert "-qemu/bin" in path
    assert "mmdebstrap" not in path


def test_shell_alone_has_what_is_not_free(flake: Flake) -> None:
    """The development shell has Packer and Vagrant by a predicate that takes these two; nothing else may have them."""
    names = flake.ask("devShells.x86_64-linux.default", "shell: map (one: one.pname) shell.given.packages")
    assert {"packer", "vagrant", "qemu", "python3", "just"} <= set(names)
    text = (ROOT / "nix" / "shell.nix").read_text()
    taken = re.findall(r"builtins\.elem \(nixpkgs\.lib\.getName package\) \[(.*?)\]", text, re.S)
    assert [re.findall(r'"(\w+)"', names) for names in taken] == [["packer", "vagrant"]]
    for path in (ROOT / "nix").rglob("*.nix"):
        if path.name != "shell.nix":
            assert not re.search(r"pkgs\.(?:packer|vagrant)|allowUnfree", path.read_text()), path


def test_recorded_packages_are_those_that_are_named() -> None:
    """No package is recorded that no file of ours names."""
    texts = "\n".join(path.read_text() for path in (ROOT / "nix").rglob("*.nix"))
    assert [name for name in _PACKAGES if not re.search(rf"(?<![\w-]){re.escape(name)}(?![\w-])", texts)] == []
    for record in _RECORD.values():
        assert all(re.fullmatch(r"pkgs/[\w./-]+\.nix", path) for path in record.values())


def test_second_machine_has_another_name(flake: Flake) -> None:
    """pihole-test is the same system with the testing variant on."""
    names = [
        flake.ask(f"nixosConfigurations.{name}.config.system.build.sdImage", "image: image.host")
        for name in ("pihole", "pihole-test")
    ]
    assert names == ["pihole", "pihole-test"]


def test_staged_copy_takes_the_sites_values(nix: Evaluator, tmp_path: Path) -> None:
    """What a build stages of this checkout is enough for the image, and the site's values are in it."""
    staged = Flake(nix, tmp_path)
    site = Site(host_name="dns", address=IPv4Interface("192.168.0.9/24"), ssh_keys=(KEY,))
    definition = make_sd_image("pihole", nix=NixBuild(), site=site)
    staged.flake = stage_flake(definition, None, tmp_path / "staged").directory
    assert sorted(path.name for path in staged.flake.iterdir()) == ["flake.lock", "flake.nix", "nix"]
    assert staged.ask("packages.aarch64-linux.pihole-image", "image: image.host") == "dns"
    assert staged.ask("nixosConfigurations.pihole.config.system.build.toplevel", "system: system.host") == "dns"


def test_staged_copy_without_a_key_is_refused(nix: Evaluator, tmp_path: Path) -> None:
    """Should a site without a key ever come this far, its evaluation ends with a sentence."""
    staged = Flake(nix, tmp_path)
    (staged.flake / "nix" / "site.json").write_text(json.dumps({"hostName": "dns", "authorizedKeys": []}))
    seen = staged.run("eval", "--raw", f"path:{staged.flake}#packages.aarch64-linux.pihole-image.drvPath", check=False)
    assert seen.status != 0
    assert "there is no SSH key in authorizedKeys" in seen.errors
