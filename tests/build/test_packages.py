"""Which packages a template gets."""

import pytest

from imagekit.build.packages import MERGED_USR, choose_base_packages, choose_feature_packages
from imagekit.definition.model import Feature, Release
from imagekit.image import Architecture


def test_base_has_what_every_clone_needs() -> None:
    """Kernel, signed loaders, cloud-init, growpart, guest agent, SSH, sudo and security updates are always there."""
    base = set(choose_base_packages(Release.BOOKWORM, Architecture.AMD64, merged_usr=True))
    wanted = {"linux-image-cloud-amd64", "shim-signed", "grub-efi-amd64-signed", "cloud-init", "cloud-guest-utils"}
    assert wanted | {"qemu-guest-agent", "openssh-server", "sudo", "unattended-upgrades", "systemd-resolved"} <= base


def test_architectures_differ_in_kernel_and_loader_alone() -> None:
    """The two architectures have the same base but for what starts it."""
    amd64, arm64 = (
        set(choose_base_packages(Release.TRIXIE, architecture, merged_usr=True)) for architecture in Architecture
    )
    assert {name.replace("amd64", "arm64") for name in amd64} == arm64


def test_docker_brings_its_command_line() -> None:
    """Debian 13 has the command line in a package of its own; Debian 12 has no such package."""
    assert choose_feature_packages([Feature.DOCKER], Release.BOOKWORM) == ("docker.io",)
    assert choose_feature_packages([Feature.DOCKER], Release.TRIXIE) == ("docker.io", "docker-cli")


def test_every_feature_is_known() -> None:
    """All features together name each package once; promtail has none, since its package is the operator's."""
    names = choose_feature_packages([*Feature, *Feature], Release.BOOKWORM)
    assert names == ("docker.io", "prometheus-node-exporter", "apparmor", "nftables")
    assert choose_feature_packages([Feature.PROMTAIL], Release.BOOKWORM) == ()


@pytest.mark.parametrize(("release", "merged_usr"), [(Release.TRIXIE, True), (Release.BOOKWORM, False)])
def test_merged_usr_is_asked_for_only_where_it_can_be_told(release: Release, merged_usr: bool) -> None:
    """Debian 12 laid out merged from the start needs no usrmerge, and so no Perl; others are not told."""
    assert MERGED_USR in choose_base_packages(Release.BOOKWORM, Architecture.AMD64, merged_usr=True)
    assert MERGED_USR not in choose_base_packages(release, Architecture.AMD64, merged_usr=merged_usr)
