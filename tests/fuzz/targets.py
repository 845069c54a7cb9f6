"""Every reader of what an image brings, with the function that feeds it hostile bytes and the seeds to begin with."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.fuzz import builder_targets, disk_targets, filesystem_targets, package_targets, seeds, verify_targets
from tests.fuzz.texts import TEXTS

SECONDS = 2.0  # of processor time that one input may take
MEMORY_MIB = 256  # that reading may add to what the process had before


@dataclass(frozen=True, slots=True)
class Target:
    """A reader: ``fuzz_one`` lets only what is no error of ours escape, ``make_seeds`` works in a directory."""

    fuzz_one: Callable[[bytes], None]
    make_seeds: Callable[[Path], list[bytes]]


def _texts(name: str) -> Callable[[Path], list[bytes]]:
    return lambda _: list(TEXTS[name])


TARGETS: dict[str, Target] = {
    "container": Target(disk_targets.fuzz_container, seeds.make_container_seeds),
    "stream": Target(disk_targets.fuzz_stream, seeds.make_stream_seeds),
    "qcow2": Target(disk_targets.fuzz_qcow2, seeds.make_qcow2_seeds),
    "vmdk": Target(disk_targets.fuzz_vmdk, seeds.make_vmdk_seeds),
    "vhdx": Target(disk_targets.fuzz_vhdx, seeds.make_vhdx_seeds),
    "gpt": Target(disk_targets.fuzz_gpt, seeds.make_table_seeds),
    "mbr": Target(disk_targets.fuzz_mbr, seeds.make_table_seeds),
    "lvm": Target(disk_targets.fuzz_lvm, seeds.make_lvm_seeds),
    "lvm_text": Target(disk_targets.fuzz_lvm_text, seeds.make_lvm_texts),
    "volumes": Target(disk_targets.fuzz_volumes, seeds.make_disk_seeds),
    "ext4": Target(filesystem_targets.fuzz_ext4, seeds.make_ext4_seeds),
    "fat": Target(filesystem_targets.fuzz_fat, seeds.make_fat_seeds),
    "xfs": Target(filesystem_targets.fuzz_xfs, seeds.make_xfs_seeds),
    "dpkg": Target(package_targets.fuzz_dpkg, _texts("dpkg")),
    "apk": Target(package_targets.fuzz_apk, _texts("apk")),
    "rpm": Target(package_targets.fuzz_rpm, seeds.make_rpm_seeds),
    "rpm_header": Target(package_targets.fuzz_rpm_header, seeds.make_rpm_headers),
    "nix": Target(package_targets.fuzz_nix, seeds.make_nix_seeds),
    "cpio": Target(package_targets.fuzz_cpio, seeds.make_cpio_seeds),
    "initramfs": Target(verify_targets.fuzz_initramfs, seeds.make_cpio_seeds),
    "sshd": Target(verify_targets.fuzz_sshd, _texts("sshd")),
    "sudo": Target(verify_targets.fuzz_sudo, _texts("sudo")),
    "cloud_config": Target(verify_targets.fuzz_cloud_config, _texts("cloud_config")),
    "boot": Target(verify_targets.fuzz_boot, _texts("boot")),
    "accounts": Target(verify_targets.fuzz_accounts, _texts("accounts")),
    "network": Target(verify_targets.fuzz_network, _texts("network")),
    "firewall": Target(verify_targets.fuzz_firewall, _texts("firewall")),
    "apt": Target(verify_targets.fuzz_apt, _texts("apt")),
    "system": Target(verify_targets.fuzz_system, _texts("system")),
    "secrets": Target(verify_targets.fuzz_secrets, _texts("secrets")),
    "vm_config": Target(verify_targets.fuzz_vm_config, _texts("vm_config")),
    "ssh_answer": Target(verify_targets.fuzz_ssh_answer, _texts("ssh_answer")),
    "nix_log": Target(
        builder_targets.fuzz_nix_log,
        builder_targets.read_recorded("nix/recorded/chain-2.8.0.log", "nix/recorded/chain-2.26.3.log"),
    ),
    "nix_answers": Target(
        builder_targets.fuzz_nix_answers,
        builder_targets.read_recorded("nix/recorded/path-info-2.8.0.json", "nix/recorded/build-2.26.3.json"),
    ),
    "nix_products": Target(builder_targets.fuzz_nix_products, builder_targets.make_products),
    "vagrant": Target(builder_targets.fuzz_vagrant, builder_targets.read_recorded("vagrant/recorded/up-first.txt")),
}
