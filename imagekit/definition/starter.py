"""The ``imagekit.toml`` that ``imagekit init`` writes: every key with its default, commented out, and why one would
change it."""

import json
from enum import StrEnum
from ipaddress import IPv4Address, IPv4Interface, IPv6Address

from imagekit.definition.model import (
    Base,
    ImageDefinition,
    NixBuild,
    Release,
    Site,
    SshPolicy,
    VerifyPolicy,
    make_sd_image,
)
from imagekit.definition.size import format_size

_HEAD = """\
# imagekit.toml: the images that are built here.
# Every key is optional and shown with its default. To change one, remove the '#' in front of it.
# 'imagekit config' shows what is in force and where each value is from.

[images.template]
"""

_IMAGE_KEYS = (
    ("kind", "What the image is for."),
    ("builder", '"local": this machine alone. "packer": Packer, here or on the cluster; see packer below.'),
    ("architecture", 'The processor of the clones: "amd64" or "arm64".'),
    ("packages", 'Debian packages to add, such as ["htop", "tmux"].'),
    ("features", 'Optional parts: "docker", "node-exporter", "promtail", "hardening".'),
    ("timezone", "A zone of the tz database; clones that log in UTC can be compared."),
    ("size", "The disk: bytes, or K, M, G, T in powers of 1024. Clones can be larger, never smaller."),
    ("esp", "The EFI system partition on it."),
    ("firmware", "What starts the clones, by Proxmox's name."),
    ("machine", 'The emulated board: "q35" or "i440fx".'),
    ("cloud_init_drive", 'Where clones find their cloud-init drive: "scsi" or "sata" on q35.'),
    ("vm_id", "The template's number on the cluster; each image needs its own."),
    ("cores", "Processors of the template on the cluster; a clone can have more."),
    ("memory", "Memory of the template on the cluster; a clone can have more."),
    ("boot_test", "Boot two clones before a version is stored; turn it off only where there is no QEMU."),
    ("channels", "The names that can point to a version; a version is promoted from one to the next."),
)
_BASE_KEYS = (
    ("distribution", '"debian"; with builder "packer" also "ubuntu" and "alpine".'),
    ("release", 'Debian "12" (bookworm) or "13" (trixie), Ubuntu "24.04" (noble), Alpine "3.22".'),
)
_SSH_KEYS = (("root_login", '"no", or "prohibit-password": root with a key. Passwords never open a clone.'),)
_VERIFY_KEYS = (
    ("profile", 'What the image is judged as: "template", "clone", "sd-image" or "container".'),
    ("allow_users", "Accounts that may be in the image, beside those of its users."),
    ("allow", 'Findings that are meant to be there: {check = "…", path = "…", reason = "…", until = 2027-01-31}.'),
    ("severity", 'How bad a check\'s findings are, such as {logs = "fail"}.'),
    ("forbid_paths", 'What else must not be in the image, such as ["/opt/build/*"].'),
    ("forbid_text", "What no file may contain, such as the name of an internal server."),
)

_CARD_HEAD = """
# The SD image of a Pi-hole for a Raspberry Pi, made by Nix; see docs/pihole.md.
[images.pihole]
kind = "sd-image"
"""
_CARD_KEYS = (
    ("builder", "A flake of Nix makes SD images; where it runs is a setting, or --builder."),
    ("architecture", 'The processor of the machine: a Raspberry Pi 3 or 4 is "arm64".'),
    ("timezone", "A zone of the tz database, for the machine's clock and logs."),
    ("channels", "The names that can point to a version; a version is promoted from one to the next."),
)
_NIX_KEYS = (
    ("attribute", "The package that is the image, and the configuration that imagekit deploy installs."),
    ("configuration", ""),
)
_SITE_KEYS = (
    ("host_name", "Its name, without a domain."),
    ("address", "Its fixed address with its network's prefix, and the router there."),
    ("gateway", ""),
    ("dns", "Resolvers to ask before its own one answers."),
    ("interface", 'The port that has the address, such as "end0"; left empty, any wired one.'),
    ("admin", "The one account on it, which may become root."),
)
_CARD_BLOCKS = """# Public keys, the only way in; without one nothing is built. Replace this one: nobody can use it.
#ssh_keys = ["<KEY>"]
"""

# Nobody has the private half of this key: its 32 bytes were drawn at random.
_EXAMPLE_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIFxQyRpQ5xZza2bBWTk0hp/cN+2ax4cIJPWW/synBeg/ ops@example"

_BLOCKS = """
# Feature "promtail" ships the journal to Loki. It needs this table, since Debian has no such package.
#[images.template.promtail]
# Where Loki takes logs.
#loki_url = "http://loki.example:3100/loki/api/v1/push"
# The package to install, beside this file.
#package = "promtail.deb"

# What builder "packer" starts from and runs. Without any of it Packer provisions the local builder's disk.
#[images.template.packer]
# "qemu" on this machine, "proxmox-iso" or "proxmox-clone" on the cluster; chosen by the rest where it is left out.
#source = "qemu"
# Where to begin: one of a finished disk, an installation medium, a template on the cluster.
#disk = {path = "debian-12-genericcloud-amd64.qcow2", sha256 = "<DIGEST>"}
#iso = {url = "https://mirror.example/debian-12-netinst.iso", sha256 = "<DIGEST>"}
#clone = 8000
# What to run in the guest, beside this file: a playbook of Ansible, then shell scripts.
#playbook = "site.yml"
#scripts = ["provision.sh"]
# Or a directory with templates of your own, the builds in it to run, and the values of its variables.
#template = "packer"
#only = "qemu.template"
#vars = {mirror = "https://mirror.example/debian"}

# A file to put into the image; repeat the table for each one.
#[[images.template.files]]
# Where it goes.
#path = "/etc/motd"
# Its text, or instead the file beside this one that has it.
#content = "Welcome.\\n"
#source = "motd.txt"
# Permissions in octal digits, owner and group.
#mode = "0644"
#owner = "root"
#group = "root"

# An account that every clone has. Most templates need none: cloud-init makes one for each clone.
#[[images.template.users]]
# Its name, and the groups that it is in besides its own.
#name = "ops"
#groups = []
# What a login starts.
#shell = "/bin/bash"
# Public keys, the only way in. Replace this one: nobody can use it.
#ssh_keys = ["<KEY>"]
# Whether it may become root, without a password since it has none.
#sudo = false

# The Proxmox cluster that a team shares. Secrets are not for this file: put PROXMOX_TOKEN_SECRET into the environment.
#[cluster]
# Where its API is.
#url = "https://pve.example:8006"
# Who asks, and where the secret is: a reference to 1Password, or a file that only its owner can read.
#token_id = "imagekit@pve!build"
#token_secret = "op://homelab/proxmox/token"
#token_secret_file = "~/.config/imagekit/token"
# How its certificate is judged where this system does not know it: by its own authority, or by its SHA-256.
#ca_file = "pve-root-ca.pem"
#fingerprint = "<DIGEST>"
# Where things go; the node may be left out where there is one.
#node = "pve1"
#storage = "local-lvm"
#iso_storage = "local"
# The bridge of builds, its VLAN (0 for none) and their pool.
#bridge = "vmbr0"
#vlan = 0
#pool = "imagekit"
# The VM ids that builds may take, none of them a template's own.
#build_ids = "9100-9199"
""".replace("<KEY>", _EXAMPLE_KEY).replace("<DIGEST>", "0123456789abcdef" * 4)


def render_starter() -> str:
    """Return the text of a commented ``imagekit.toml`` that means exactly the built-in default."""
    return _render_template() + _render_card()


def _render_card() -> str:
    card = make_sd_image("pihole")
    assert card.site is not None
    return (
        _CARD_HEAD
        + _render_keys(_CARD_KEYS, card)
        + "\n# Which flake makes it: imagekit's own, or one beside this file.\n[images.pihole.nix]\n"
        + '# A directory with a flake.nix.\n#flake = "pihole"\n'
        + _render_keys(_NIX_KEYS, card.nix)
        + "\n# What is true of one house only.\n[images.pihole.site]\n"
        + _render_keys(_SITE_KEYS, card.site)
        + _CARD_BLOCKS.replace("<KEY>", _EXAMPLE_KEY)
    )


def _render_template() -> str:
    image = ImageDefinition("template")
    return (
        _HEAD
        + _render_keys(_IMAGE_KEYS, image)
        + "\n[images.template.base]\n"
        + _render_keys(_BASE_KEYS, image.base)
        + "\n[images.template.ssh]\n"
        + _render_keys(_SSH_KEYS, image.ssh)
        + "\n# What verification lets pass, and what it forbids beyond its own checks.\n"
        + "[images.template.verify]\n"
        + _render_keys(_VERIFY_KEYS, image.verify)
        + _BLOCKS
    )


def render_value(key: str, value: object) -> str:
    """Return ``value`` of ``key`` as TOML, the way a person writes it: sizes with a suffix, releases by number."""
    match value:
        case bool():
            return str(value).lower()
        case Release():
            return f'"{value.number}"'
        case IPv4Interface() | IPv4Address() | IPv6Address():
            return f'"{value}"'
        case StrEnum() | str():
            return json.dumps(value)  # for printable text a TOML basic string is a JSON string
        case int() if key in ("size", "esp", "memory"):
            return f'"{format_size(value)}"'
        case int() if key == "mode":
            return f'"{value:04o}"'
        case int():
            return str(value)
        case () if key == "severity":
            return "{}"
        case tuple():
            return f"[{', '.join(render_value(key, item) for item in value)}]"
        case _:
            raise TypeError(f"{key} has no simple TOML form")


def _render_keys(
    keys: tuple[tuple[str, str], ...], noun: ImageDefinition | Base | SshPolicy | VerifyPolicy | NixBuild | Site
) -> str:
    lines = ((f"# {why}\n" if why else "") + f"#{key} = {render_value(key, getattr(noun, key))}\n" for key, why in keys)
    return "".join(lines)
