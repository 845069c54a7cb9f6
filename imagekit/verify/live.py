"""What only a running machine tells: failed units, what first boot said, what the policy is in effect."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class LiveFacts:
    """Answers of a running machine.

    ``failed_units`` are systemd's; ``system_state`` is what ``systemctl is-system-running`` says; ``cloud_init`` what
    ``cloud-init status`` says, empty where there is none; ``sshd_config`` are the lines of ``sshd -T``, ``None`` when
    it could not be asked; ``root_bytes`` and ``disk_bytes`` are the sizes of the root filesystem and of its disk, 0
    when they are not known.

    ``cloud_init`` is the word after ``status:`` (``done``, ``degraded done``, ``running``, ``error``, ``disabled``),
    ``cloud_init_errors`` what it names as errors. ``user`` is who logged in, ``privileged`` whether what only root may
    see was seen. ``hostname``, ``machine_id``, ``boot_id`` and ``product_uuid`` (lower case) are the ones in effect,
    empty when not told; ``addresses`` are without prefix length and without those of ``lo``; ``host_keys`` are type and
    ``SHA256:…`` fingerprint of each public key. ``mounted_over`` are files that something is mounted over, such as
    ``/etc/machine-id`` when systemd could not write it: what the disk has there is not seen. ``twin`` are the answers
    of another machine to compare with, ``None`` when none was named.
    """

    failed_units: tuple[str, ...]
    system_state: str
    cloud_init: str
    sshd_config: tuple[str, ...] | None
    root_bytes: int
    disk_bytes: int
    cloud_init_errors: tuple[str, ...] = ()
    user: str = ""
    privileged: bool = False
    hostname: str = ""
    machine_id: str = ""
    boot_id: str = ""
    product_uuid: str = ""
    addresses: tuple[str, ...] = ()
    host_keys: tuple[str, ...] = ()
    mounted_over: tuple[str, ...] = ()
    twin: "LiveFacts | None" = None
