"""Small flakes whose one input is a directory of the test's own: Nix can move that lock without any network."""

from pathlib import Path

from tests.nix_store import OwnStore

FLAKE = """\
{{
  inputs.dependency.url = "path:{dependency}";
  outputs = {{ self, dependency }}: {{ value = dependency.value; }};
}}
"""


def make_flake(directory: Path, dependency: Path, store: OwnStore) -> Path:
    """Make ``dependency`` and a flake that has it locked; return the flake's directory."""
    change_dependency(dependency, 1)
    directory.mkdir(parents=True)
    (directory / "flake.nix").write_text(FLAKE.format(dependency=dependency))
    store.run("nix", "flake", "lock", f"path:{directory}")
    return directory


def change_dependency(dependency: Path, value: int) -> None:
    """Give the dependency new content, and so another hash."""
    dependency.mkdir(parents=True, exist_ok=True)
    (dependency / "flake.nix").write_text(f"{{ outputs = _: {{ value = {value}; }}; }}\n")
