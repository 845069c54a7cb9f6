"""Where a Packer build starts from, and the reason that the operator reads."""

from pathlib import Path

import pytest

from imagekit.build.packer.choose import Road, Start, choose_road
from imagekit.definition.model import Base, Builder, ImageDefinition, Medium, PackerBuild, PackerSource, Release
from imagekit.errors import DefinitionInvalid, ExitCode

_HERE = Medium(sha256="a" * 64, path=Path("/media/debian.iso"))
_THERE = Medium(sha256="", volume="local:iso/debian.iso")
_OFTEN = (False, True)


def define(packer: PackerBuild, release: Release = Release.BOOKWORM) -> ImageDefinition:
    """Return a definition that Packer builds."""
    base = Base(release.distribution, release)
    return ImageDefinition(name="web", builder=Builder.PACKER, base=base, packer=packer)


@pytest.mark.parametrize(
    ("packer", "has_cluster", "source", "start", "why"),
    [
        (PackerBuild(), False, PackerSource.QEMU, Start.LOCAL_DISK, "nothing else is given"),
        (PackerBuild(), True, PackerSource.QEMU, Start.LOCAL_DISK, "nothing else is given"),
        (PackerBuild(source=PackerSource.QEMU), True, PackerSource.QEMU, Start.LOCAL_DISK, "nothing else is given"),
        (PackerBuild(disk=_HERE), False, PackerSource.QEMU, Start.GIVEN_DISK, "packer.disk is given"),
        (PackerBuild(disk=_HERE), True, PackerSource.QEMU, Start.GIVEN_DISK, "packer.disk is given"),
        (PackerBuild(iso=_HERE), False, PackerSource.QEMU, Start.INSTALLER, "no cluster is configured"),
        (PackerBuild(iso=_HERE), True, PackerSource.PROXMOX_ISO, Start.INSTALLER, "a cluster is configured"),
        (PackerBuild(iso=_HERE, source=PackerSource.QEMU), True, PackerSource.QEMU, Start.INSTALLER, "says so"),
        (PackerBuild(iso=_THERE), True, PackerSource.PROXMOX_ISO, Start.INSTALLER, "local:iso/debian.iso"),
        (PackerBuild(clone=9001), True, PackerSource.PROXMOX_CLONE, Start.CLONE, "packer.clone names 9001"),
        (PackerBuild(clone="golden"), True, PackerSource.PROXMOX_CLONE, Start.CLONE, "packer.clone names golden"),
    ],
)
def test_each_beginning_has_its_road(
    packer: PackerBuild, has_cluster: bool, source: PackerSource, start: Start, why: str
) -> None:
    """What is given to start from and whether a cluster is configured decide, and the sentence says which it was."""
    road = choose_road(define(packer), has_cluster=has_cluster)
    assert (road.source, road.start) == (source, start)
    assert why in road.why


@pytest.mark.parametrize("has_cluster", _OFTEN)
def test_own_template_decides_itself(has_cluster: bool) -> None:
    """A template directory of the user's own says where it builds, cluster or not."""
    road = choose_road(define(PackerBuild(template=Path("/home/me/golden"))), has_cluster=has_cluster)
    assert road == Road(None, Start.OWN_TEMPLATE, "packer.template names golden, which says where it builds")


@pytest.mark.parametrize(
    "packer",
    [
        PackerBuild(iso=_THERE),
        PackerBuild(clone=9001),
        PackerBuild(iso=_HERE, source=PackerSource.PROXMOX_ISO),
    ],
)
def test_source_on_a_cluster_needs_one(packer: PackerBuild) -> None:
    """Without a cluster, the sentence names the source and why it is meant, and the hint how to configure one."""
    with pytest.raises(DefinitionInvalid, match=r"built on a cluster \(proxmox-\w+: packer\.\w+ .*none is") as caught:
        choose_road(define(packer), has_cluster=False)
    assert "[cluster]" in str(caught.value.hint)
    assert caught.value.exit_code is ExitCode.DEFINITION


@pytest.mark.parametrize("release", [Release.NOBLE, Release.ALPINE_3_22])
@pytest.mark.parametrize("has_cluster", _OFTEN)
def test_local_disks_are_debian(release: Release, has_cluster: bool) -> None:
    """Nothing to start from is an error where the local builder has no disk of that distribution."""
    with pytest.raises(DefinitionInvalid, match=f"not {release.distribution}'s") as caught:
        choose_road(define(PackerBuild(), release), has_cluster=has_cluster)
    assert "packer.disk" in str(caught.value.hint)
    road = choose_road(define(PackerBuild(disk=_HERE), release), has_cluster=has_cluster)
    assert road.start is Start.GIVEN_DISK


@pytest.mark.parametrize("source", [PackerSource.PROXMOX_ISO, PackerSource.PROXMOX_CLONE])
@pytest.mark.parametrize("has_cluster", _OFTEN)
def test_source_on_a_cluster_needs_a_beginning(source: PackerSource, has_cluster: bool) -> None:
    """The local builder's disk never becomes an installer or a clone by itself."""
    with pytest.raises(DefinitionInvalid, match="nothing says what it starts from"):
        choose_road(define(PackerBuild(source=source)), has_cluster=has_cluster)
