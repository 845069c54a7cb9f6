"""Where on a cluster things are put."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Placement:
    """Node, storages, bridge and pool for what imagekit makes; ``pool`` is empty for none, ``vlan`` 0 for none.

    ``build_ids`` are the VM ids that builds and versions may take: never the template's own.
    """

    node: str
    storage: str = "local-lvm"
    iso_storage: str = "local"
    bridge: str = "vmbr0"
    vlan: int = 0
    pool: str = ""
    build_ids: range = range(9100, 9200)
