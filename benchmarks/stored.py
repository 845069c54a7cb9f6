"""A stored template to measure with: the operator's own if there is one, else one built for the occasion."""

import sys
from dataclasses import dataclass
from pathlib import Path

from measure import keep_below, note

from imagekit.errors import StoreError
from imagekit.host import run
from imagekit.image import Reference
from imagekit.settings import Settings, read_settings
from imagekit.store import open_store


@dataclass(frozen=True, slots=True)
class StoredTemplate:
    """The disk of a stored version, and the environment in which ``imagekit`` finds it and writes nothing else."""

    reference: str
    digest: str
    disk: Path
    environment: dict[str, str]


def find_template(home: Path, name: str = "template") -> StoredTemplate:
    """Return the newest version of ``name`` that the operator has, read only; build one below ``home`` otherwise.

    Clones, states and caches of the measured commands go below ``home`` in both cases.
    """
    settings = read_settings({})
    try:
        return _describe(settings, name, keep_below(home) | {"IMAGEKIT_STORE": str(settings.store)})
    except StoreError:
        note(f"there is no stored version of {name} here: building one, untimed")
    environment = keep_below(home)
    project = home / "project"
    project.mkdir(parents=True)
    cache = {"IMAGEKIT_CACHE": str(settings.cache)}  # package files that are here already need not be fetched again
    argv = [sys.executable, "-m", "imagekit", "build", name, "--no-boot-test"]
    run(argv, environment=environment | cache, directory=project)
    return _describe(read_settings({"store": environment["IMAGEKIT_STORE"]}), name, environment)


def _describe(settings: Settings, name: str, environment: dict[str, str]) -> StoredTemplate:
    store = open_store(settings.store)
    version = store.find(Reference.parse(name), default_channel=None)
    return StoredTemplate(str(version.reference), str(version.digest), store.disk_path(version), environment)
