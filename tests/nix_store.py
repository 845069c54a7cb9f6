"""A Nix store of a test's own: the real nix(1), nothing of this machine's store, no daemon, no network.

Nix takes its places from the environment (the manual's "Common Environment Variables"), so a store needs neither root
nor ``/nix``. Names of store paths depend on the place of the store: nothing in them may be compared across tests.
"""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from imagekit.host import Completed, run
from imagekit.host.tools import find_tool

# The two spellings of what an own store is told. No build users: a build runs as whoever runs the test, root included.
_CONFIGURATION = """\
build-users-group =
experimental-features = nix-command flakes
sandbox = false
substituters =
flake-registry = {registry}
max-jobs = 2
"""


@dataclass(frozen=True, slots=True)
class OwnStore:
    """``environment`` is what makes nix use it, ``store_dir`` where its paths are, ``directory`` holds all of it."""

    directory: Path
    store_dir: Path
    environment: dict[str, str]

    def run(
        self,
        *argv: str | Path,
        environment: Mapping[str, str] | None = None,
        on_line: Callable[[str], None] | None = None,
        check: bool = True,
    ) -> Completed:
        """Run a program of Nix in this store: ``store.run("nix", "build", …)``; a minute is the most it may take.

        Raises :class:`imagekit.errors.ToolMissing` without Nix, :class:`imagekit.errors.ToolFailed` when it fails.
        """
        program, *rest = (os.fspath(part) for part in argv)
        return run(
            [find_tool(program), *rest],
            environment={**self.environment, **(environment or {})},
            directory=self.directory,
            on_line=on_line,
            timeout=60,
            check=check,
        )

    def configure(self, **settings: str) -> None:
        """Add lines to nix.conf: ``configure(extra_platforms="aarch64-linux")``."""
        with (Path(self.environment["NIX_CONF_DIR"]) / "nix.conf").open("a", encoding="utf-8") as file:
            file.writelines(f"{name.replace('_', '-')} = {value}\n" for name, value in settings.items())


def make_own_store(directory: Path) -> OwnStore:
    """Make an empty store below ``directory``, which may exist; works as root and as an ordinary user.

    Raises :class:`imagekit.errors.ToolMissing` when there is no nix: a test that needs it fails without it.
    """
    find_tool("nix")
    place = directory.resolve() / "nix"  # Nix refuses a store that is reached through a symbolic link
    for name in ("store", "state", "log", "conf", "home", "tmp"):
        (place / name).mkdir(parents=True)
    registry = place / "conf" / "flake-registry.json"
    registry.write_text('{"flakes": [], "version": 2}\n', encoding="utf-8")
    (place / "conf" / "nix.conf").write_text(_CONFIGURATION.format(registry=registry), encoding="utf-8")
    environment = {
        "NIX_STORE_DIR": place / "store",
        "NIX_STATE_DIR": place / "state",
        "NIX_LOG_DIR": place / "log",
        "NIX_CONF_DIR": place / "conf",
        "HOME": place / "home",
        "TMPDIR": place / "tmp",
        "XDG_CACHE_HOME": place / "home" / "cache",
        "XDG_CONFIG_HOME": place / "home" / "config",
        "XDG_DATA_HOME": place / "home" / "data",
        "XDG_STATE_HOME": place / "home" / "state",
    }
    return OwnStore(place, place / "store", {name: os.fspath(path) for name, path in environment.items()})
