"""What is asked of the parsers of files inside an image when those files were changed.

The bytes of one input are cut at ``SEPARATOR``; each part is one file of a small tree.
"""

import tempfile
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path

from imagekit.errors import ImagekitError
from imagekit.verify.evidence import classify_password, escape, read_public_key
from imagekit.verify.facts import (
    accounts,
    boot_entries,
    boot_files,
    clean_hooks,
    cloud_config,
    dhcp,
    filesystems,
    firewall,
    host_keys,
    initramfs,
    login_files,
    network_files,
    network_secrets,
    network_state,
    packages,
    pins,
    presets,
    sshd,
    sshd_keywords,
    sudo,
    system,
    units,
)
from imagekit.verify.facts.small_files import search_small_files
from imagekit.verify.facts.yaml_text import YamlInvalid, read_yaml
from imagekit.verify.secrets.patterns import find_secrets
from imagekit.verify.secrets.scan import scan
from imagekit.verify.ssh.wire import decode_answer, decode_path
from imagekit.verify.view import CannotSee, View, ViewKind
from imagekit.verify.vm_config import read_vm_config
from tests.fuzz.memory import make_file_tree
from tests.verify.initrd import KERNEL

SEPARATOR = b"\x1e"
_UNITS = "/usr/lib/systemd/system"
_ENTRY = f"menuentry 'Debian' {{\n\tlinux /boot/vmlinuz-{KERNEL} ro\n\tinitrd /boot/initrd.img\n}}\n".encode()

SSHD = ("/etc/ssh/sshd_config", "/etc/ssh/sshd_config.d/a.conf")
SUDO = ("/etc/sudoers", "/etc/sudoers.d/90-cloud-init-users")
CLOUD = (
    "/etc/cloud/cloud.cfg", "/etc/cloud/cloud.cfg.d/90_dpkg.cfg", "/etc/cloud/ds-identify.cfg",
    "/etc/cloud/clean.d/hook", "/boot/grub/grub.cfg",
)  # fmt: skip
BOOT = (
    "/boot/grub/grub.cfg", "/boot/loader/entries/a.conf", "/boot/grub/grubenv", "/etc/default/grub",
    "/etc/kernel/cmdline", "/boot/loader/loader.conf",
)  # fmt: skip
ACCOUNTS = ("/etc/passwd", "/etc/shadow", "/etc/group", "/root/.profile", "/root/.ssh/authorized_keys")
NETWORK = (
    "/etc/netplan/a.yaml", "/etc/systemd/network/a.network", "/etc/systemd/network/a.link",
    "/etc/NetworkManager/system-connections/a.nmconnection", "/etc/sysconfig/network-scripts/ifcfg-eth0",
    "/etc/network/interfaces", "/etc/udev/rules.d/70-persistent-net.rules", "/var/lib/dhcp/dhclient.eth0.leases",
    "/etc/wpa_supplicant/wpa_supplicant.conf", "/etc/ppp/pap-secrets", "/etc/openvpn/a.conf",
)  # fmt: skip
FIREWALL = (
    "/etc/nftables.conf", "/etc/ufw/ufw.conf", "/etc/ufw/user.rules", "/etc/iptables/rules.v4",
    "/etc/firewalld/firewalld.conf", "/etc/firewalld/zones/public.xml", "/etc/ssh/sshd_config",
)  # fmt: skip
PACKAGES = (
    "/etc/apt/sources.list", "/etc/apt/sources.list.d/a.sources", "/etc/apt/apt.conf.d/70debconf",
    "/etc/apt/preferences", "/var/lib/dpkg/status", "/etc/dnf/dnf.conf", "/etc/dnf/versionlock.toml",
)  # fmt: skip
SYSTEM = (
    "/usr/lib/os-release", "/etc/machine-id", "/etc/fstab", f"{_UNITS}/a.service",
    "/etc/systemd/system/a.service.d/x.conf", "/usr/lib/systemd/system-preset/a.preset", "/etc/mdadm/mdadm.conf",
)  # fmt: skip


def open_view(files: dict[str, bytes]) -> View:
    """Return a view of a directory that holds these files."""
    return View(ViewKind.DIRECTORY, make_file_tree(files))


def _split(data: bytes, paths: tuple[str, ...]) -> View:
    return open_view(dict(zip(paths, data.split(SEPARATOR), strict=False)))


def _ask(view: View, facts: Iterable[Callable[[View], object]]) -> None:
    """Ask for each fact; an answer in steps is taken to its end."""
    for fact in facts:
        with suppress(ImagekitError, CannotSee):
            answer = fact(view)
            if hasattr(answer, "__next__"):
                for _ in answer:  # type: ignore[attr-defined]  # known to be an iterator since the line before
                    pass


def fuzz_sshd(data: bytes) -> None:
    """Read sshd's configuration with its includes and conditions."""
    view = _split(data, SSHD)
    with suppress(ImagekitError, CannotSee):
        policy = sshd.read_sshd_policy(view)
        for keyword in ("passwordauthentication", "permitrootlogin", "port", "hostkey"):
            policy.get(keyword)
            policy.list_values(keyword)
        policy.allows_passwords()
    _ask(view, [firewall.read_ssh_ports, host_keys.list_host_keys, lambda view: sshd_keywords.is_keyword(view, "port")])


def fuzz_sudo(data: bytes) -> None:
    """Read who may do what by sudo."""
    _ask(_split(data, SUDO), [sudo.read_grants])


def fuzz_cloud_config(data: bytes) -> None:
    """Read cloud-init's configuration, its switches and its hooks; and the text as YAML."""
    view = _split(data, CLOUD)
    _ask(
        view,
        [
            cloud_config.read_cloud_config,
            cloud_config.read_detection,
            cloud_config.find_switches,
            cloud_config.find_datasources,
            cloud_config.reads_local_drive,
            cloud_config.makes_host_keys,
            lambda view: cloud_config.list_modules(cloud_config.read_cloud_config(view)),
            lambda view: cloud_config.read_cloud_config(view).get("system_info", "default_user", "name"),
            clean_hooks.read_clean_hooks,
        ],
    )
    with suppress(YamlInvalid):
        read_yaml(data.decode("utf-8", "surrogateescape"))


def fuzz_boot(data: bytes) -> None:
    """Read boot entries, GRUB's files and environment, kernel arguments and names of disks."""
    view = _split(data, BOOT)
    _ask(
        view,
        [
            boot_entries.read_default_entry,
            boot_entries.read_grub_files,
            boot_entries.read_grub_environment,
            boot_entries.read_grub_defaults,
            boot_entries.read_arguments,
            boot_entries.read_disk_names,
            boot_files.read_kernel_version,
            boot_files.read_modules,
            boot_files.read_built_in,
        ],
    )
    with suppress(ImagekitError, CannotSee):
        for entry in boot_entries.read_entries(view):
            for path in entry.initrds:
                boot_files.find_boot_file(view, entry, path)
    boot_entries.parse_device(data[:200].decode("utf-8", "surrogateescape"))


def fuzz_initramfs(data: bytes) -> None:
    """Read the initial RAM disk of the default entry as the checks do."""
    view = open_view({"/boot/grub/grub.cfg": _ENTRY, "/boot/initrd.img": data, f"/boot/vmlinuz-{KERNEL}": b"kernel"})
    with suppress(ImagekitError, CannotSee):
        archive = initramfs.open_initramfs(view)
        for step in (archive.read_head, archive.read_settings, archive.read_all):
            with suppress(ImagekitError, CannotSee):
                step()
        with suppress(ImagekitError, CannotSee):
            archive.find_modules(frozenset({"virtio_scsi", "nowhere"}))
        for kept in archive.kept:
            initramfs.is_suspect(kept.member.name)


def fuzz_accounts(data: bytes) -> None:
    """Read accounts, groups, passwords, keys and the files that a shell reads at login."""
    view = _split(data, ACCOUNTS)
    _ask(view, [accounts.read_groups, accounts.find_homes, accounts.read_shadow, login_files.read_login_files])
    with suppress(ImagekitError, CannotSee):
        for account in accounts.read_accounts(view):
            password = accounts.find_password(view, account)
            accounts.has_password(view, account)
            classify_password(password or "")
            escape(account.name)
    for line in data[:4096].decode("utf-8", "surrogateescape").splitlines():
        read_public_key(line)


def fuzz_network(data: bytes) -> None:
    """Read what configures the network, in every dialect, and the secrets in it."""
    _ask(
        _split(data, NETWORK),
        [
            network_files.read_bindings,
            network_files.read_udev_names,
            network_files.list_generated,
            network_secrets.read_network_secrets,
            network_state.writes_cloud_network,
            network_state.find_network_configuration,
            network_state.matches_nic,
            dhcp.list_leases,
            dhcp.read_duids,
        ],
    )


def fuzz_firewall(data: bytes) -> None:
    """Judge whether a firewall lets SSH in."""
    _ask(_split(data, FIREWALL), [firewall.find_closed_firewalls, firewall.read_ssh_ports])


def fuzz_apt(data: bytes) -> None:
    """Read package sources, options, pins and locks."""
    _ask(
        _split(data, PACKAGES),
        [
            packages.read_apt_sources,
            packages.read_apt_options,
            packages.read_package_states,
            pins.read_apt_pins,
            pins.read_excluded_packages,
        ],
    )


def fuzz_system(data: bytes) -> None:
    """Read the release, the machine's identity, fstab, units and presets."""
    _ask(
        _split(data, SYSTEM),
        [
            system.read_distribution,
            system.read_machine_id,
            system.is_first_boot,
            filesystems.read_fstab,
            lambda view: units.find_unit(view, "a.service"),
            lambda view: units.is_enabled(view, "a.service"),
            units.read_pulls,
            presets.list_preset_units,
        ],
    )


def fuzz_secrets(data: bytes) -> None:
    """Look for secrets in bytes, and in a small file that holds them; none of them is shown."""
    for secret in find_secrets(data):
        assert secret.kind
    scan(data)
    with suppress(ImagekitError, CannotSee):
        search_small_files(open_view({"/opt/file": data, "/etc/file": data}))
    shown = escape(data.decode("utf-8", "surrogateescape"))
    assert all(letter.isprintable() or letter == " " for letter in shown)


def fuzz_vm_config(data: bytes) -> None:
    """Read a VM's configuration as the API answers it."""
    with tempfile.TemporaryDirectory() as directory, suppress(ImagekitError):
        path = Path(directory, "9000.json")
        path.write_bytes(data)
        config = read_vm_config(path)
        list(config.drives())
        assert isinstance(config.cloud_init_drives, tuple)
        for key in config.values:
            config.properties(key, "first")


def fuzz_ssh_answer(data: bytes) -> None:
    """Read what a machine answered over SSH: it may be as hostile as an image. The input is not packed yet."""
    import zlib

    for packed in (data, zlib.compress(data, 1)):
        with suppress(ImagekitError):
            answer, blobs = decode_answer(packed)
            assert sum(each.length for each in answer.contents) == len(blobs)
    with suppress(ImagekitError):
        decode_path(data[:200].decode("latin-1"))
