"""``imagekit.toml`` as frozen values: what an operator can say about an image, every mistake told at once."""

from imagekit.definition.cluster_table import ClusterTable
from imagekit.definition.describe import describe_image, describe_project
from imagekit.definition.model import (
    GIB,
    MIB,
    Allowance,
    Base,
    Builder,
    Distribution,
    DriveBus,
    Feature,
    FileEntry,
    ImageDefinition,
    Kind,
    MachineType,
    Medium,
    PackerBuild,
    PackerSource,
    Promtail,
    Release,
    RootLogin,
    SeverityOverride,
    SshPolicy,
    User,
    VerifyPolicy,
)
from imagekit.definition.parse import change_builder
from imagekit.definition.read import FILE_NAME, Project, read_project
from imagekit.definition.starter import render_starter

__all__ = [
    "FILE_NAME",
    "GIB",
    "MIB",
    "Allowance",
    "Base",
    "Builder",
    "ClusterTable",
    "Distribution",
    "DriveBus",
    "Feature",
    "FileEntry",
    "ImageDefinition",
    "Kind",
    "MachineType",
    "Medium",
    "PackerBuild",
    "PackerSource",
    "Project",
    "Promtail",
    "Release",
    "RootLogin",
    "SeverityOverride",
    "SshPolicy",
    "User",
    "VerifyPolicy",
    "change_builder",
    "describe_image",
    "describe_project",
    "read_project",
    "render_starter",
]
