"""The fields that the sources have, with their types.

Facts of the plugins' own tables: ``builder/proxmox/{iso,clone,common}/config.hcl2spec.go`` of packer-plugin-proxmox
1.2.4 and ``builder/qemu/config.hcl2spec.go`` of packer-plugin-qemu 1.0.9. Fields that Packer sets itself
(``packer_…``) are left out.
"""

from collections.abc import Mapping
from types import MappingProxyType

BLOCK = "block"


def _read(table: str) -> Mapping[str, str]:
    """Return the type of each field of a table: ``type:`` is followed by the names of that type."""
    fields: dict[str, str] = {}
    kind = ""
    for word in table.split():
        if word.endswith(":"):
            kind = word[:-1]
        else:
            fields[word] = kind
    return MappingProxyType(fields)


_SHARED = _read(
    """
    string: boot_key_interval boot_keygroup_interval boot_wait communicator http_bind_address http_directory
        http_interface pause_before_connecting ssh_bastion_certificate_file ssh_bastion_host ssh_bastion_password
        ssh_bastion_private_key_file ssh_bastion_username ssh_certificate_file ssh_file_transfer_method ssh_host
        ssh_keep_alive_interval ssh_keypair_name ssh_password ssh_private_key_file ssh_proxy_host ssh_proxy_password
        ssh_proxy_username ssh_read_write_timeout ssh_timeout ssh_username ssh_wait_timeout temporary_key_pair_name
        temporary_key_pair_type vm_name winrm_host winrm_password winrm_timeout winrm_username
    number: cores http_port_max http_port_min memory sockets ssh_bastion_port ssh_handshake_attempts ssh_port
        ssh_proxy_port temporary_key_pair_bits winrm_port
    bool: ssh_agent_auth ssh_bastion_agent_auth ssh_bastion_interactive ssh_clear_authorized_keys
        ssh_disable_agent_forwarding ssh_pty winrm_insecure winrm_no_proxy winrm_use_ntlm winrm_use_ssl
    strings: boot_command ssh_ciphers ssh_key_exchange_algorithms ssh_local_tunnels ssh_remote_tunnels
    numbers: ssh_private_key ssh_public_key
    map: http_content
    """
)

_PROXMOX = _read(
    """
    string: bios boot cloud_init_disk_type cloud_init_storage_pool cpu_type efidisk http_network_protocol machine node
        os password pool proxmox_url qemu_additional_args scsi_controller tags task_timeout template_description
        template_name token username vm_interface
    number: ballooning_minimum vm_id
    bool: cloud_init cloud_init_disable_upgrade_packages disable_kvm insecure_skip_tls_verify numa onboot qemu_agent
        skip_convert_to_template
    strings: serials
    block: additional_iso_files disks efi_config network_adapters pci_devices rng0 tpm_config vga
    """
)

_ISO = _read(
    """
    string: iso_checksum iso_file iso_storage_pool iso_target_extension iso_target_path iso_url
    bool: iso_download_pve unmount_iso
    strings: iso_urls
    block: boot_iso
    """
)

_CLONE = _read(
    """
    string: clone_vm nameserver searchdomain
    number: clone_vm_id
    bool: full_clone
    block: ipconfig
    """
)

_QEMU = _read(
    """
    string: accelerator cd_label cdrom_interface cpu_model disk_cache disk_detect_zeroes disk_discard disk_interface
        disk_size display efi_firmware_code efi_firmware_vars firmware floppy_label format iso_checksum
        iso_target_extension iso_target_path iso_url machine_type net_bridge net_device output_directory qemu_binary
        qmp_socket_path shutdown_command shutdown_timeout tpm_device_type vga vnc_bind_address
    number: cpus host_port_max host_port_min ssh_host_port_max ssh_host_port_min threads vnc_port_max vnc_port_min
    bool: disable_vnc disk_compression disk_image efi_boot headless iso_skip_cache qmp_enable run_once skip_compaction
        skip_nat_mapping skip_resize_disk use_backing_file use_default_display use_pflash use_tpm1 vnc_use_password
        vtpm
    strings: cd_files disk_additional_size floppy_dirs floppy_files iso_urls
    map: cd_content floppy_content
    lists: boot_steps qemuargs
    block: qemu_img_args
    """
)

_ISO_BLOCK = _read(
    """
    string: cd_label device index iso_checksum iso_file iso_storage_pool iso_target_extension iso_target_path iso_url
        type
    bool: iso_download_pve keep_cdrom_device unmount
    strings: cd_files iso_urls
    map: cd_content
    """
)

FIELDS: Mapping[str, Mapping[str, str]] = MappingProxyType(
    {
        "proxmox-iso": MappingProxyType({**_SHARED, **_PROXMOX, **_ISO}),
        "proxmox-clone": MappingProxyType({**_SHARED, **_PROXMOX, **_CLONE}),
        "qemu": MappingProxyType({**_SHARED, **_QEMU}),
    }
)

BLOCKS: Mapping[str, Mapping[str, str]] = MappingProxyType(
    {
        "additional_iso_files": _ISO_BLOCK,
        "boot_iso": _ISO_BLOCK,
        "disks": _read(
            """
            string: asyncio cache_mode disk_size format storage_pool storage_pool_type type
            bool: discard exclude_from_backup io_thread ssd
            """
        ),
        "efi_config": _read(
            """
            string: efi_format efi_storage_pool efi_type
            bool: pre_enrolled_keys
            """
        ),
        "ipconfig": _read(
            """
            string: gateway gateway6 ip ip6
            """
        ),
        "network_adapters": _read(
            """
            string: bridge mac_address model vlan_tag
            number: mtu packet_queues
            bool: firewall
            """
        ),
        "pci_devices": _read(
            """
            string: device_id host mapping mdev romfile sub_device_id sub_vendor_id vendor_id
            bool: hide_rombar legacy_igd pcie x_vga
            """
        ),
        "rng0": _read(
            """
            string: source
            number: max_bytes period
            """
        ),
        "tpm_config": _read(
            """
            string: tpm_storage_pool tpm_version
            """
        ),
        "vga": _read(
            """
            string: type
            number: memory
            """
        ),
        "qemu_img_args": _read("strings: convert create resize"),
    }
)

# The last release of the plugin that lacks a field, where it is known: 1.1.1 was read, and the notes of 1.2.4.
# A field of a block is written as block.field.
_NOT_IN_1_1_1 = """
    ballooning_minimum boot_iso clone_vm_id cloud_init_disk_type http_network_protocol ipconfig iso_download_pve
    nameserver numa pci_devices qemu_additional_args rng0 searchdomain skip_convert_to_template tags tpm_config
    additional_iso_files.index additional_iso_files.iso_download_pve additional_iso_files.keep_cdrom_device
    additional_iso_files.type disks.asyncio disks.discard disks.exclude_from_backup disks.ssd efi_config.efi_format
    network_adapters.mtu
"""
LACKED_BY: Mapping[str, tuple[int, int, int]] = MappingProxyType(
    {**dict.fromkeys(_NOT_IN_1_1_1.split(), (1, 1, 1)), "cloud_init_disable_upgrade_packages": (1, 2, 3)}
)

# Deprecated fields and what stands for them now.
_IN_BOOT_ISO = ("iso_checksum", "iso_file", "iso_storage_pool", "iso_url", "iso_urls", "iso_download_pve")
DEPRECATED: Mapping[str, Mapping[str, str]] = MappingProxyType(
    {
        "proxmox-iso": MappingProxyType(
            {
                **{name: f"{name} in a block boot_iso" for name in (*_IN_BOOT_ISO, "iso_target_path")},
                "iso_target_extension": "iso_target_extension in a block boot_iso",
                "unmount_iso": "unmount = true in the block boot_iso",
                "efidisk": "a block efi_config with efi_storage_pool",
                "ssh_wait_timeout": "ssh_timeout",
            }
        ),
        "proxmox-clone": MappingProxyType(
            {"efidisk": "a block efi_config with efi_storage_pool", "ssh_wait_timeout": "ssh_timeout"}
        ),
        "qemu": MappingProxyType(
            {
                "ssh_wait_timeout": "ssh_timeout",
                "ssh_host_port_min": "host_port_min",
                "ssh_host_port_max": "host_port_max",
                "run_once": "nothing: it has no effect",
            }
        ),
        "boot_iso": MappingProxyType({"device": "type and index"}),
        "additional_iso_files": MappingProxyType({"device": "type and index"}),
        "disks": MappingProxyType({"storage_pool_type": "nothing: the plugin asks the cluster"}),
    }
)
