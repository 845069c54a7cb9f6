"""What dead and kept builds leave, left on purpose."""

import json
from pathlib import Path

from imagekit.build.packer.remains import open_build
from imagekit.cluster.leftovers import BUILD_TAG, name_build_tag, name_seed

DEAD = "0123456789ab"
OTHER = "ba9876543210"


def leave_build(state: Path, place: Path, build_id: str = DEAD, *, kept: str = "", **noted: object) -> Path:
    """Leave a workspace at ``place`` and its record with ``noted``, as ``kill -9`` or --keep does; returns that."""
    place.mkdir(parents=True)
    with open_build(state, build_id, workspace=place) as build:
        build.keep("left by a test")
    record = state / "packer" / f"{build_id}.json"
    record.write_text(json.dumps(json.loads(record.read_text()) | {"kept": kept} | noted))
    return record


def tag(build_id: str = DEAD) -> dict[str, str]:
    """Return the config that marks a VM as a build's."""
    return {"tags": f"{BUILD_TAG};{name_build_tag(build_id)}"}


def seed_volume(build_id: str = DEAD) -> str:
    """Return the volume of a build's seed."""
    return f"local:iso/{name_seed(build_id)}"
