"""What only a running machine tells: failed units, what first boot said, what the policy is in effect."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class LiveFacts:
    """Answers of a running machine.

    ``failed_units`` are systemd's; ``system_state`` is what ``systemctl is-system-running`` says; ``cloud_init`` what
    ``cloud-init status`` says, empty where there is none; ``sshd_config`` are the lines of ``sshd -T``, ``None`` when
    it could not be asked; ``root_bytes`` and ``disk_bytes`` are the sizes of the root filesystem and of its disk.
    """

    failed_units: tuple[str, ...]
    system_state: str
    cloud_init: str
    sshd_config: tuple[str, ...] | None
    root_bytes: int
    disk_bytes: int
