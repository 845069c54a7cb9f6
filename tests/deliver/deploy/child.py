"""A deployment in a process of its own, to be killed: ``python -m tests.deliver.deploy.child JSON``."""

import json
import sys
from pathlib import Path

from imagekit.deliver.deploy.deployment import Deployment, deploy, plan_deployment
from imagekit.deliver.deploy.health import HealthPolicy
from imagekit.deliver.deploy.push import Source
from imagekit.deliver.deploy.switch import Timing
from imagekit.deliver.deploy.target import Target, TargetPaths
from imagekit.host.here import ThisMachine
from imagekit.host.openssh import OpenSshHost
from imagekit.host.openssh_login import SshLogin
from imagekit.host.ssh_target import SshTarget
from imagekit.progress import Event


def main(text: str) -> None:
    """Deploy what the JSON says, and print each stage."""
    about = json.loads(text)
    machine = SshTarget.parse(about["url"], identity=Path(about["identity"]))
    target = Target(
        lambda _address: OpenSshHost(SshLogin(machine, config=Path(about["config"]))), TargetPaths(*about["paths"])
    )
    deployment = Deployment(
        about["path"], Source(ThisMachine(), about["environment"]), target, "127.0.0.1", "127.0.0.1",
        health=HealthPolicy(port=about["port"], seconds=600), timing=Timing(20, about["patience"]),
    )  # fmt: skip

    def tell(event: Event) -> None:
        sys.stdout.write(f"{event.stage} {event.detail}\n")
        sys.stdout.flush()

    deploy(deployment, plan_deployment(deployment, tell), tell)


if __name__ == "__main__":
    main(sys.argv[1])
