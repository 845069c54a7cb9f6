"""This operator's places, habits and cluster, each value with its origin, the strongest source first.

The file is ``$XDG_CONFIG_HOME/imagekit/settings.toml`` and optional. Directories follow the XDG Base Directory
Specification 0.8 on every system, macOS too.
"""

from imagekit.settings.cluster import ClusterSettings, describe_cluster, read_cluster
from imagekit.settings.file import find_settings_file
from imagekit.settings.operator import AcceleratorChoice, NixPlace, Settings, name_flag, name_variable, read_settings

__all__ = [
    "AcceleratorChoice",
    "ClusterSettings",
    "NixPlace",
    "Settings",
    "describe_cluster",
    "find_settings_file",
    "name_flag",
    "name_variable",
    "read_cluster",
    "read_settings",
]
