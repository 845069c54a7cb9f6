"""The scripts of our units, run as systemd would run them: by bash, under ``set -e``, with the variables it sets."""

import os
import socket
import stat
from pathlib import Path
from typing import Any

from imagekit.host import Completed, find_tool, run
from tests.nix.conftest import Evaluator


def run_script(script: str, **environment: str) -> Completed:
    """Run a unit's script; whatever its status is."""
    return run([find_tool("bash"), "-ec", script], environment=environment, timeout=30, check=False)


def list_scripts(told: dict[str, Any]) -> dict[str, str]:
    """Return the scripts of all units that we describe."""
    return {
        f"{name}.{key}": unit[key]
        for name, unit in told["systemd"]["services"].items()
        for key in ("script", "postStart")
        if key in unit
    }


def test_shellcheck_has_nothing_to_say(nix: Evaluator) -> None:
    """No script has a mistake that shellcheck knows."""
    scripts = list_scripts(dict(nix.describe()["told"]))
    assert set(scripts) == {
        "docker-unbound.postStart", "imagekit-generations.script", "imagekit-web-password.script",
    }  # fmt: skip
    for name, script in scripts.items():
        seen = run([find_tool("shellcheck"), "--shell=bash", "-"], stdin=script.encode(), check=False)
        assert seen.status == 0, f"{name}\n{seen.output.decode()}"


def test_started_means_answering(nix: Evaluator) -> None:
    """The script after Unbound's start ends when somebody listens on its port, and not before."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        script = list_scripts(dict(nix.describe(upstreamPort=listener.getsockname()[1])["told"]))[
            "docker-unbound.postStart"
        ]
        assert run_script(script, MAINPID=str(os.getpid())).status == 0


def test_script_ends_with_the_main_process(nix: Evaluator) -> None:
    """Nobody listens and the main process is gone: the start has failed, and systemd can try again."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))  # bound and not listening: a connection is refused, and nobody else gets it
        script = list_scripts(dict(nix.describe(upstreamPort=unused.getsockname()[1])["told"]))[
            "docker-unbound.postStart"
        ]
        gone = run([find_tool("bash"), "-c", "true & wait; echo $!"]).output.decode().strip()
        assert run_script(script, MAINPID=gone).status == 1


def test_password_is_random_and_roots_alone(nix: Evaluator, tmp_path: Path) -> None:
    """Whoever runs it alone can read the file; two machines have two passwords; nothing is left beside it."""
    told = nix.describe()["told"]
    umask = told["systemd"]["services"]["imagekit-web-password"]["serviceConfig"]["UMask"]
    script = list_scripts(dict(told))["imagekit-web-password.script"]
    made = set()
    for name in ("one", "two"):
        directory = tmp_path / name
        seen = run_script(f"umask {umask}\n" + script.replace("/var/lib/imagekit", os.fspath(directory)))
        assert seen.status == 0, seen.errors
        (file,) = directory.iterdir()
        assert file.name == "web-password"
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        made.add(file.read_text().strip())
    assert {len(password) for password in made} == {20}
    assert len(made) == 2
