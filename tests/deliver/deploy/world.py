"""A target of the tests' own: an sshd on loopback whose logins have another Nix store, and a DNS server to break.

The target's store has the builder's path, as any two machines' have, and other content: each login gets a mount
namespace of its own with another directory over it. What the tiny system's switch does is in :data:`ON_SWITCH`.
"""

import contextlib
import json
import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from imagekit.deliver.deploy.deployment import Deployment
from imagekit.deliver.deploy.health import HealthPolicy, ask_round
from imagekit.deliver.deploy.push import Road, Source, carry_over, find_missing, list_closure
from imagekit.deliver.deploy.switch import Timing
from imagekit.deliver.deploy.target import Target, TargetPaths, read_running_system
from imagekit.errors import HostFailed
from imagekit.host.here import ThisMachine
from imagekit.host.host import Host
from imagekit.host.local import Tail, end, start
from imagekit.host.openssh import OpenSshHost
from imagekit.host.openssh_login import SshLogin
from imagekit.progress import silent
from tests import tiny
from tests.namespace import unshare_mounts
from tests.nix_store import OwnStore, make_own_store
from tests.sshd import Sshd, start_sshd

RESPONDER = Path(__file__).with_name("responder.py")
# Files beside it name systems: those in "dead" have no DNS, those in "slow" take four seconds, those in "hanging" do
# not end, those in "no-menu" cannot write a boot menu.
ON_SWITCH = """\
#!/bin/sh
here=$(dirname "$0")
has() {{ grep -qsxF "$2" "$here/$1"; }}
if [ "$1" = boot ]; then if has no-menu "$2"; then echo "no room in /boot" >&2; exit 1; fi; exit 0; fi
if has hanging "$2"; then sleep 600; fi
if has slow "$2"; then sleep 4; fi
if [ -f "$here/responder.pid" ]; then
    kill "$(cat "$here/responder.pid")"
    while kill -0 "$(cat "$here/responder.pid")" 2> /dev/null; do sleep 0.05; done
    rm -f "$here/responder.pid"
fi
if has dead "$2"; then exit 0; fi
address=$(sed -n 's/^Address=\\(.*\\)[/].*/\\1/p' "$2/etc/systemd/network/40-wired.network")
setsid -f {python} {responder} "$address" {port} "$here/responder.pid" < /dev/null > "$here/responder.log" 2>&1
tries=0
while [ ! -f "$here/responder.pid" ] && [ "$tries" -lt 100 ]; do tries=$((tries + 1)); sleep 0.05; done
"""
_LOGIN = """\
#!/bin/sh
if [ "${{IN_NAMESPACE:-}}" != yes ]; then IN_NAMESPACE=yes; export IN_NAMESPACE; exec unshare {options} "$0"; fi
mount --bind {inner} {outer}
exec /bin/sh -c "$SSH_ORIGINAL_COMMAND"
"""
OLD_ADDRESS, NEW_ADDRESS = "127.0.0.1", "127.0.0.2"


@dataclass(slots=True)
class World:
    """Builder, target, and what runs on the target. ``port`` is the DNS server's."""

    directory: Path
    store: OwnStore
    sshd: Sshd
    port: int
    state: Path
    paths: TargetPaths
    stores: dict[str, str] = field(default_factory=dict)
    opened: list[Host] = field(default_factory=list)

    @property
    def source(self) -> Source:
        """The builder: this machine, with the tests' own store."""
        return Source(ThisMachine(), self.store.environment)

    def connect(self, address: str) -> Host:
        """Enter the target; at its new address there is no sshd, as after a firewall's mistake."""
        if address:
            raise HostFailed(f"nothing listens at {address}")
        host = OpenSshHost(SshLogin(self.sshd.target, config=self.sshd.config))
        self.opened.append(host)
        return host

    def target(self) -> Target:
        """The target, not entered yet."""
        return Target(self.connect, self.paths)

    @property
    def road(self) -> Road:
        """How ``nix copy`` gets there."""
        return Road(f"ssh-ng://{self.sshd.user}@127.0.0.1", ("-F", str(self.sshd.config), "-p", str(self.sshd.port)))

    def build(self, configuration: str, address: str = OLD_ADDRESS) -> str:
        """Build a system whose DNS answers at ``address``; returns its store path."""
        key = f"{configuration} {address}"
        if key not in self.stores:
            flake = tiny.copy_tiny_flake(self.directory / "flakes" / key.replace(" ", "-"))
            (flake / "nix").mkdir()
            site = {
                "hostName": "pihole", "address": address, "prefixLength": 8, "gateway": "127.0.0.254",
                "bootstrapDns": [], "timeZone": "Etc/UTC", "authorizedKeys": ["ssh-ed25519 AAAA owner@example"],
            }  # fmt: skip
            (flake / "nix" / "site.json").write_text(json.dumps(site), encoding="utf-8")
            said = self.store.run(
                "nix", "build", "--no-link", "--json", f"path:{flake}#{tiny.name_system(configuration)}"
            )
            self.stores[key] = json.loads(said.output)[0]["outputs"]["out"]
        return self.stores[key]

    def deployment(self, path: str, **changes: object) -> Deployment:
        """Return a deployment of ``path`` with the times of a test."""
        values: dict[str, object] = {
            "path": path, "source": self.source, "target": self.target(), "address": OLD_ADDRESS,
            "next_address": OLD_ADDRESS, "health": HealthPolicy(port=self.port, seconds=4.0),
            "timing": Timing(switch=20, patience=20),
        }  # fmt: skip
        return Deployment(**{**values, **changes})  # type: ignore[arg-type]

    def mark(self, kind: str, *paths: str) -> None:
        """Say what is wrong with systems; see :data:`ON_SWITCH`."""
        (self.state / kind).write_text("".join(f"{path}\n" for path in paths), encoding="utf-8")

    def install(self, path: str) -> None:
        """Make ``path`` what the target runs and starts, as its first generation."""
        self.stop()
        for kind in ("dead", "slow", "hanging", "no-menu", "switched"):
            (self.state / kind).unlink(missing_ok=True)
        for link in Path(self.paths.profile).parent.glob("system*"):
            link.unlink()
        target = self.target()
        missing = find_missing(self.source, target, list_closure(self.source, path))
        if missing.sizes:
            carry_over(self.source, target, missing, silent)
        target.run(["rm", "-rf", self.paths.work])
        target.run([target.find_program("nix-env"), "-p", self.paths.profile, "--set", path])
        target.run([f"{path}/bin/switch-to-configuration", "switch"])
        (self.state / "switched").unlink()
        target.close()

    def answers(self, address: str = OLD_ADDRESS) -> bool:
        """Say whether DNS answers now."""
        return ask_round(address, HealthPolicy(port=self.port)).good

    def running(self) -> tuple[str, str, int]:
        """Return the system that runs, the one that would be started, and its generation."""
        target = self.target()
        found = read_running_system(target)
        target.close()
        return found.path, found.profile_path, found.generation

    def switches(self) -> list[str]:
        """Return what each switch was asked for, with its system's path."""
        return (self.state / "switched").read_text().splitlines()

    def stop(self) -> None:
        """End the DNS server and a watchdog that is left."""
        for file in (Path(self.paths.work) / "pid", self.state / "responder.pid"):
            with contextlib.suppress(OSError, ValueError):
                os.kill(int(file.read_text()), signal.SIGKILL)
            file.unlink(missing_ok=True)


@contextlib.contextmanager
def make_world(directory: Path) -> Iterator[World]:
    """Make a builder's store, the target with an sshd, and a place for a DNS server; all ends with the block."""
    store = make_own_store(directory / "builder")
    store.configure(extra_platforms=f"{tiny.SYSTEM} {tiny.OTHER_SYSTEM}")
    there = directory / "target"
    inner, state = there / "store", there / "nix" / "var" / "nix"
    for place in (inner, state / "profiles", state / "gcroots", there / "run", there / "log"):
        place.mkdir(parents=True)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = int(free.getsockname()[1])
    hook = there / "run" / "on-switch"
    hook.write_text(ON_SWITCH.format(python=sys.executable, responder=RESPONDER, port=port), encoding="utf-8")
    login = there / "login"
    options = " ".join([*unshare_mounts()[1:], *(["--map-root-user"] if os.geteuid() else [])])
    login.write_text(_LOGIN.format(options=options, inner=inner, outer=store.store_dir), encoding="utf-8")
    for script in (hook, login):
        script.chmod(0o755)
    environment = {
        **{name: value for name, value in store.environment.items() if name in ("NIX_STORE_DIR", "NIX_CONF_DIR")},
        "NIX_STATE_DIR": os.fspath(state),
        "NIX_LOG_DIR": os.fspath(there / "log"),
        "PATH": os.environ["PATH"],
        tiny.STATE_VARIABLE: os.fspath(there / "run"),
    }
    paths = TargetPaths.below(os.fspath(there))
    with start_sshd(directory / "sshd", environment=environment, extra=f"ForceCommand {login}") as sshd:
        world = World(directory, store, sshd, port, there / "run", paths)
        try:
            yield world
        finally:
            for host in world.opened:
                host.close()
            world.stop()


@dataclass(frozen=True, slots=True)
class Child:
    """A process of imagekit's own that deploys."""

    running: Any
    output: Tail

    def said(self) -> str:
        """Return the stages that it has gone through."""
        return self.output.value().decode()

    def kill(self) -> None:
        """Kill it, as nothing can be caught."""
        os.kill(self.running.pid, signal.SIGKILL)
        end(self.running)


def start_child(world: World, path: str, *, patience: int) -> Child:
    """Start a deployment of ``path`` in another process; see child.py."""
    about = {
        "path": path, "patience": patience, "port": world.port, "url": world.sshd.url,
        "identity": os.fspath(world.sshd.identity), "config": os.fspath(world.sshd.config),
        "environment": world.store.environment,
        "paths": [world.paths.current_system, world.paths.profile, world.paths.gc_root, world.paths.work],
    }  # fmt: skip
    argv = [sys.executable, "-m", "tests.deliver.deploy.child", json.dumps(about)]
    output = Tail(1 << 20)
    return Child(start(argv, directory=Path(__file__).parents[3], stdout=output, stderr=output), output)


def wait_until(true: Callable[[], bool], seconds: float = 20.0) -> None:
    """Wait until the function ``true`` says so."""
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.1)
