"""A clone of a stored version, on this machine."""

from typing import TYPE_CHECKING

from imagekit.image import Reference
from imagekit.machine.accelerator import require_architecture
from imagekit.machine.firmware import find_firmware
from imagekit.pipeline.verify import choose_accelerator
from imagekit.settings import Settings
from imagekit.store import open_store

if TYPE_CHECKING:
    from imagekit.deliver.clone import Clone


def make_local_clone(
    reference: Reference, name: str, settings: Settings, *, ssh_keys: tuple[str, ...], cpus: int, memory_mib: int,
    disk_bytes: int, user: str, user_data: bytes | None,
) -> "Clone":  # fmt: skip
    """Make a stopped clone of a stored version under QEMU here; a bare name means ``stable``, else the newest."""
    from imagekit.deliver.local import create_clone

    store = open_store(settings.store)
    stable = "stable" if "stable" in store.channels(reference.name) else None
    version = store.find(reference, default_channel=stable)
    require_architecture(version.architecture)
    return create_clone(
        store.disk_path(version), name, reference=str(version.reference), digest=str(version.digest),
        clones_dir=settings.clones, accelerator=choose_accelerator(settings), firmware=find_firmware(),
        ssh_keys=ssh_keys, user=user, memory_mib=memory_mib, cpus=cpus, disk_bytes=disk_bytes, user_data=user_data,
    )  # fmt: skip
