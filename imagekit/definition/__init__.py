"""``imagekit.toml`` as frozen values: what an operator can say about an image, every mistake told at once."""

from imagekit.definition.describe import describe_image, describe_project
from imagekit.definition.model import (
    GIB,
    MIB,
    Allowance,
    Base,
    DriveBus,
    Feature,
    FileEntry,
    ImageDefinition,
    Kind,
    MachineType,
    Promtail,
    Release,
    RootLogin,
    SeverityOverride,
    SshPolicy,
    User,
    VerifyPolicy,
)
from imagekit.definition.read import FILE_NAME, Project, read_project
from imagekit.definition.starter import render_starter

__all__ = [
    "FILE_NAME",
    "GIB",
    "MIB",
    "Allowance",
    "Base",
    "DriveBus",
    "Feature",
    "FileEntry",
    "ImageDefinition",
    "Kind",
    "MachineType",
    "Project",
    "Promtail",
    "Release",
    "RootLogin",
    "SeverityOverride",
    "SshPolicy",
    "User",
    "VerifyPolicy",
    "describe_image",
    "describe_project",
    "read_project",
    "render_starter",
]
