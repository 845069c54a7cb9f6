"""Which packages a template is made of: the base that every clone needs, and what each feature adds."""

from collections.abc import Sequence

from imagekit.definition.model import Distribution, Feature, Release
from imagekit.image import Architecture

MERGED_USR = "usr-is-merged"

# apt patterns (apt-patterns(7)): what Debian calls a minimal system.
_MINIMAL = ("?essential", "?priority(required)", "apt")

_BASE = (
    # starts and runs
    "systemd-sysv", "dbus", "udev", "kmod", "initramfs-tools", "zstd", "libpam-systemd", "tzdata", "procps",
    # becomes a machine of its own at first boot, and grows to its disk
    "cloud-init", "cloud-guest-utils", "e2fsprogs", "fdisk", "qemu-guest-agent",
    # talks: networkd is cloud-init's renderer here, resolved and timesyncd its companions
    "systemd-resolved", "systemd-timesyncd", "iproute2", "iputils-ping", "netbase", "ca-certificates", "openssh-server",
    # is administered
    "sudo", "unattended-upgrades", "less", "nano",
)  # fmt: skip

_BOOT = {
    Architecture.AMD64: ("linux-image-cloud-amd64", "shim-signed", "grub-efi-amd64", "grub-efi-amd64-signed"),
    Architecture.ARM64: ("linux-image-cloud-arm64", "shim-signed", "grub-efi-arm64", "grub-efi-arm64-signed"),
}

_FEATURES: dict[Feature, tuple[str, ...]] = {
    Feature.DOCKER: ("docker.io",),
    Feature.NODE_EXPORTER: ("prometheus-node-exporter",),
    Feature.PROMTAIL: (),  # not in Debian: the definition brings the package file
    Feature.HARDENING: ("apparmor", "nftables"),
}
# Alpine has no others: the parser refuses them.
_ALPINE_FEATURES: dict[Feature, tuple[str, ...]] = {
    Feature.DOCKER: ("docker", "docker-cli"),
    Feature.NODE_EXPORTER: ("prometheus-node-exporter",),
}

# What a disk that somebody else made may lack and every clone needs.
_CLONE_APT = ("cloud-init", "cloud-guest-utils", "qemu-guest-agent", "openssh-server", "unattended-upgrades")
_CLONE = {
    Distribution.DEBIAN: _CLONE_APT,
    Distribution.UBUNTU: _CLONE_APT,
    Distribution.ALPINE: ("cloud-init", "cloud-utils-growpart", "e2fsprogs-extra", "qemu-guest-agent", "openssh"),
}


def choose_base_packages(release: Release, architecture: Architecture, *, merged_usr: bool) -> tuple[str, ...]:
    """Return what every template of this release and architecture has; the cached base root is made of exactly this.

    ``merged_usr`` says that /usr is laid out merged from the start. Debian 12 is the last release that has to be told;
    its package usrmerge would do it afterwards.
    """
    told = (MERGED_USR,) if merged_usr and release is Release.BOOKWORM else ()
    return (*_MINIMAL, *_BOOT[architecture], *_BASE, *told)


def choose_installed_packages() -> tuple[str, ...]:
    """Return what a Debian that its own installer made gets besides its kernel and boot loader: the same base."""
    return _BASE


def choose_clone_packages(distribution: Distribution) -> tuple[str, ...]:
    """Return what a system that was not installed by us gets, so that its clones become machines of their own."""
    return _CLONE[distribution]


def choose_feature_packages(features: Sequence[Feature], release: Release) -> tuple[str, ...]:
    """Return what the features add, each name once, in the order of the definition."""
    table = _ALPINE_FEATURES if release.distribution is Distribution.ALPINE else _FEATURES
    names = [name for feature in features for name in table[feature]]
    if Feature.DOCKER in features and release is Release.TRIXIE:
        names.append("docker-cli")  # Debian 13's docker.io no longer brings the command line
    return tuple(dict.fromkeys(names))
