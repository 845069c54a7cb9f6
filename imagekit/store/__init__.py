"""Where images are kept: immutable versions with their evidence, channels that move between them, and the history.

It refuses to build or repair anything, to keep a disk whose verification failed, and to change a version.
"""

from imagekit.store.adding import Stored
from imagekit.store.copy import check_space
from imagekit.store.describe import describe_place, describe_version, summarize_version
from imagekit.store.history import Action, HistoryEntry, describe_history
from imagekit.store.manifest import Version
from imagekit.store.versions import Store, StoredImage, open_store

__all__ = [
    "Action",
    "HistoryEntry",
    "Store",
    "Stored",
    "StoredImage",
    "Version",
    "check_space",
    "describe_history",
    "describe_place",
    "describe_version",
    "open_store",
    "summarize_version",
]
