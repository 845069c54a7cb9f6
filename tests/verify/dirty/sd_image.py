"""Dirt on a NixOS card: changes to its root's tree, judged as a card; those to its image's bytes are in sd_disk."""

import shutil
from collections.abc import Callable
from dataclasses import replace as alter
from pathlib import Path

from imagekit.definition import Site
from tests.verify import clean_card as card
from tests.verify.clean_tree import MODES, link, remove, write
from tests.verify.dirty.change import FAIL, HASH, WARN, Dirt, added, all_of, removed, swapped, wrote
from tests.verify.dirty.sd_disk import CARD, DEEP, SD_DISK_DIRT

KEY_BODY = "-----BEGIN PRIVATE KEY-----\n" + "MC4CAQAwBQYDK2VwBCIEIHNlY3JldHNlY3JldHNlY3JldHNlY3JldHNlY3JldA\n" * 2
_SCRIPT = f"{card.START}/bin/docker-pihole-start"
_UNIT = f"{card.PIHOLE_UNIT}/docker-pihole.service"
_NETWORK = f"{card.NETWORKS}/20-wired.network"
_KEYS = f"{card.ETC}/etc/ssh/authorized_keys.d"
_WANTS = f"{card.UNITS}/multi-user.target.wants"


def _as(name: str, **values: object) -> Callable[[Path], None]:
    """Return a change that gives one account other values."""
    users = [{**user, **values} if user["name"] == name else user for user in card.USERS]
    return wrote(card.ACCOUNTS, card.write_accounts(*users))


def _drop(path: str) -> Callable[[Path], None]:
    """Return a change that removes a directory of the tree."""

    return lambda root: shutil.rmtree(root / path.lstrip("/"))


def _eth0(root: Path) -> None:
    """Configure the wired network by nixpkgs' script for eth0."""
    remove(root, f"{_WANTS}/systemd-networkd.service")
    unit = "network-addresses-eth0.service"
    write(root, f"{card.NETWORKD_UNIT}/{unit}", "[Service]\nExecStart=start\n")
    link(root, f"{card.UNITS}/{unit}", f"{card.NETWORKD_UNIT}/{unit}")


def _dhcpcd_for_eth0(root: Path) -> None:
    """Let dhcpcd ask for an address on eth0 alone."""
    remove(root, f"{_WANTS}/systemd-networkd.service")
    config = card.store("dhcpcd.conf")
    write(root, config, "hostname\nallowinterfaces eth0 eth1\n")
    write(root, f"{card.NETWORKD_UNIT}/dhcpcd.service", f"[Service]\nExecStart=dhcpcd --config {config}\n")
    link(root, f"{card.UNITS}/dhcpcd.service", f"{card.NETWORKD_UNIT}/dhcpcd.service")
    link(root, f"{_WANTS}/dhcpcd.service", "../dhcpcd.service")


_CONF, _INIT = card.EXTLINUX, f"init={card.SYSTEM}/init"
_SECRET = card.store("wpa_supplicant.conf")

_SITE = Site(admin="ops", ssh_keys=(card.KEY.strip(),))
HOUSE = alter(CARD, site=_SITE, services=("docker-pihole.service",))

SD_ROOT_DIRT = (
    Dirt("sd-site", "name", FAIL, "hostname", wrote(f"{card.ETC}/etc/hostname", "nixos\n"), HOUSE),
    Dirt("sd-site", "no-name", FAIL, "hostname", removed(f"{card.ETC}/etc/hostname"), HOUSE),
    Dirt("sd-site", "address", FAIL, "network", swapped(_NETWORK, "0.53/24", "0.54/24"), HOUSE),
    Dirt("sd-site", "prefix", FAIL, "network", swapped(_NETWORK, "0.53/24", "0.53/16"), HOUSE),
    Dirt("sd-site", "gateway", FAIL, "network", swapped(_NETWORK, "Gateway=192.168.0.1", "Gateway=10.0.0.1"), HOUSE),
    Dirt("sd-site", "key", FAIL, "authorized_keys", swapped(card.KEYS, "G93bmVy", "G93bmVz"), HOUSE),
    Dirt("sd-site", "service", FAIL, "docker-pihole", removed(f"{_WANTS}/docker-pihole.service"), HOUSE),
    Dirt("sd-layout", "names", FAIL, "partition 2", swapped(card.FSTAB, "NIXOS_SD", "NIXOS"), CARD),
    Dirt("sd-layout", "firmware-name", WARN, "partition 1", swapped(card.FSTAB, "/FIRMWARE", "/BOOT"), CARD),
    Dirt("sd-extlinux", "none", FAIL, _CONF, removed(_CONF), CARD),
    Dirt("sd-extlinux", "empty", FAIL, _CONF, wrote(_CONF), CARD),
    Dirt("sd-extlinux", "default", FAIL, _CONF, swapped(_CONF, "DEFAULT nixos-default", "DEFAULT nixos-7"), CARD),
    Dirt("sd-extlinux", "no-default", WARN, _CONF, swapped(_CONF, "DEFAULT nixos-default", ""), CARD),
    Dirt("sd-extlinux", "waits", FAIL, _CONF, swapped(_CONF, "TIMEOUT 30", "TIMEOUT 0"), CARD),
    Dirt("sd-extlinux", "kernel", FAIL, _CONF, removed("/boot/nixos/kernel-Image"), CARD),
    Dirt("sd-extlinux", "initrd", FAIL, _CONF, wrote("/boot/nixos/initrd"), CARD),
    Dirt("sd-extlinux", "trees", FAIL, _CONF, _drop("/boot/nixos/dtbs"), CARD),
    Dirt("sd-extlinux", "tree", FAIL, _CONF, swapped(_CONF, "FDTDIR ../nixos/dtbs", "FDT ../nixos/pi.dtb"), CARD),
    Dirt("sd-extlinux", "no-init", FAIL, _CONF, swapped(_CONF, _INIT, "quiet"), CARD),
    Dirt("sd-extlinux", "init", FAIL, _CONF, removed(f"{card.SYSTEM}/init"), CARD),
    Dirt(
        "sd-extlinux", "other", WARN, _CONF, added(_CONF, f"LABEL nixos-1\n  LINUX ../gone\n  APPEND {_INIT}\n"), CARD
    ),
    Dirt("sd-first-boot", "missing", FAIL, card.REGISTRATION, removed(card.REGISTRATION), CARD),
    Dirt("sd-first-boot", "empty", FAIL, card.REGISTRATION, wrote(card.REGISTRATION), CARD),
    Dirt("sd-first-boot", "small", WARN, "local-cmds", swapped(card.LOCAL_COMMANDS, "resize2fs", "true"), CARD),
    Dirt("sd-booted", "mark", FAIL, "/etc/NIXOS", wrote("/etc/NIXOS"), CARD),
    Dirt("sd-booted", "numbers", FAIL, "/var/lib/nixos", wrote("/var/lib/nixos/uid-map", "{}"), CARD),
    Dirt(
        "sd-booted",
        "profile",
        FAIL,
        "/nix/var/nix/profiles",
        lambda root: link(root, "/nix/var/nix/profiles/system", "system-1-link"),
        CARD,
    ),
    Dirt(
        "sd-booted",
        "accounts",
        FAIL,
        "/etc/passwd",
        all_of(
            wrote("/etc/passwd", "root:x:0:0:System administrator:/root:/run/current-system/sw/bin/bash\n"),
            wrote("/etc/shadow", "root:!:1::::::\n"),
            lambda root: (root / "etc/shadow").chmod(MODES["/etc/shadow"]),
        ),
        CARD,
    ),
    Dirt("sd-closure", "path", FAIL, card.OPENSSL, _drop(card.OPENSSL), CARD),
    Dirt("sd-closure", "system", FAIL, card.SYSTEM, swapped(card.REGISTRATION, card.SYSTEM, card.OPENSSL), CARD),
    Dirt("uid-zero", "card", FAIL, card.ACCOUNTS, _as("ops", uid=0), CARD),
    Dirt("sd-access", "no-key", FAIL, "authorized_keys.d", wrote(card.KEYS), CARD),
    Dirt("sd-access", "no-keys", FAIL, "etc", removed(f"{_KEYS}/ops"), CARD),
    Dirt(
        "sd-access",
        "root-only",
        FAIL,
        "authorized_keys.d",
        all_of(
            removed(f"{_KEYS}/ops"),
            lambda root: link(root, f"{_KEYS}/root", card.KEYS),
            swapped(card.SSHD_CONFIG, "PermitRootLogin prohibit-password", "PermitRootLogin no"),
        ),
        CARD,
    ),
    Dirt("sd-access", "not-allowed", FAIL, "authorized_keys.d", added(card.SSHD_CONFIG, "AllowUsers admin\n"), CARD),
    Dirt("sd-access", "denied", FAIL, "authorized_keys.d", added(card.SSHD_CONFIG, "DenyUsers o*\n"), CARD),
    Dirt("sd-access", "no-pubkey", FAIL, "keys.d", added(card.SSHD_CONFIG, "PubkeyAuthentication no\n"), CARD),
    Dirt("sd-access", "no-shell", FAIL, "authorized_keys.d", _as("ops", **card.NO_SHELL), CARD),
    Dirt("sd-access", "no-server", FAIL, "sshd.conf", removed(f"{_WANTS}/sshd.service"), CARD),
    Dirt("sd-access", "empty-allowed", FAIL, "sshd.conf", added(card.SSHD_CONFIG, "PermitEmptyPasswords yes\n"), CARD),
    Dirt("sd-access", "empty", FAIL, card.ACCOUNTS, _as("root", initialHashedPassword=""), CARD),
    Dirt("sd-access", "clear", FAIL, card.ACCOUNTS, _as("ops", initialPassword="canary"), CARD),
    Dirt("sd-access", "hash", FAIL, card.ACCOUNTS, _as("ops", hashedPassword=HASH), CARD),
    Dirt("sd-access", "locked", FAIL, card.ACCOUNTS, _as("root", hashedPassword=f"!{HASH}"), CARD),
    Dirt("sd-access", "in-store", FAIL, card.ACCOUNTS, _as("ops", hashedPasswordFile=card.store("hash")), CARD),
    Dirt("sd-access", "in-image", FAIL, card.ACCOUNTS, wrote("/var/lib/secrets/ops", f"{HASH}\n"), CARD),
    Dirt(
        "sd-access",
        "console",
        WARN,
        "getty@",
        swapped(f"{card.GETTY_UNIT}/getty@.service", "--noclear", "--autologin nixos"),
        CARD,
    ),
    Dirt("sd-store-secrets", "key", FAIL, "server.pem", wrote(card.store("server.pem"), KEY_BODY), CARD),
    Dirt("sd-store-secrets", "unit", FAIL, _UNIT, added(_UNIT, 'Environment="WEBPASSWORD=canary"\n'), CARD),
    Dirt("sd-store-secrets", "variable", FAIL, _UNIT, added(_UNIT, 'Environment="SMTP_PASSWORD=canary"\n'), CARD),
    Dirt("sd-store-secrets", "script", FAIL, _SCRIPT, swapped(_SCRIPT, "=$PASSWORD", "='canary'"), CARD),
    Dirt(
        "sd-store-secrets", "argument", FAIL, _SCRIPT, swapped(_SCRIPT, "-e WEB", "-e 'DB_TOKEN=canary' -e WEB"), CARD
    ),
    Dirt(
        "sd-store-secrets", "environment", FAIL, card.PIHOLE_ENV, added(card.PIHOLE_ENV, "WEBPASSWORD=canary\n"), CARD
    ),
    Dirt(
        "sd-store-secrets",
        "toml",
        FAIL,
        "pihole.toml",
        wrote(card.store("pihole.toml"), '[webserver.api]\npwhash = "$BALLOON-SHA256$v=1$canary"\n'),
        CARD,
    ),
    Dirt(
        "sd-store-secrets",
        "json",
        FAIL,
        "env.json",
        wrote(card.store("env.json"), '{"FTLCONF_webserver_api_password": "canary"}'),
        CARD,
    ),
    Dirt(
        "sd-store-secrets",
        "nix",
        FAIL,
        "configuration.nix",
        wrote(card.store("configuration.nix"), f'users.users.root.hashedPassword = "{HASH}";\n'),
        CARD,
    ),
    Dirt("sd-store-secrets", "wifi", FAIL, _SECRET, wrote(_SECRET, 'network={\n  psk="canary canary"\n}\n'), CARD),
    Dirt(
        "sd-store-secrets",
        "keyfile",
        FAIL,
        "home.nmconnection",
        wrote(card.store("home.nmconnection"), "[wifi-security]\npsk=canarycanary\n"),
        CARD,
    ),
    Dirt(
        "sd-store-secrets",
        "package",
        FAIL,
        "server.key",
        wrote(f"{card.OPENSSL}/etc/server.key", KEY_BODY),
        DEEP,
    ),
    Dirt("sd-network", "none", FAIL, "systemd", removed(f"{_WANTS}/systemd-networkd.service"), CARD),
    Dirt("sd-network", "no-address", FAIL, "systemd", swapped(_NETWORK, "Address=", "#Address="), CARD),
    Dirt("sd-network", "eth0", WARN, _NETWORK, swapped(_NETWORK, "Type=ether", "Name=eth0"), CARD),
    Dirt("sd-network", "script", WARN, "network-addresses-eth0", _eth0, CARD),
    Dirt("sd-network", "dhcpcd", WARN, "dhcpcd.conf", _dhcpcd_for_eth0, CARD),
)

SD_DIRT = (*SD_ROOT_DIRT, *SD_DISK_DIRT)
# For a check, the others that its dirt really causes.
SD_KIN: dict[str, set[str]] = {"sd-layout": {"partition-table"}}
