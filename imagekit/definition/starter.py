"""The ``imagekit.toml`` that ``imagekit init`` writes: every key with its default, commented out, and why one would
change it."""

import json
from enum import StrEnum

from imagekit.definition.model import Base, ImageDefinition, Release, SshPolicy, VerifyPolicy
from imagekit.definition.size import format_size

_HEAD = """\
# imagekit.toml: the images that are built here.
# Every key is optional and shown with its default. To change one, remove the '#' in front of it.
# 'imagekit config' shows what is in force and where each value is from.

[images.template]
"""

_IMAGE_KEYS = (
    ("kind", "What the image is for."),
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
    ("boot_test", "Boot two clones before a version is stored; turn it off only where there is no QEMU."),
    ("channels", "The names that can point to a version; a version is promoted from one to the next."),
)
_BASE_KEYS = (
    ("distribution", "What the image is made of."),
    ("release", 'Debian "12" (bookworm) or "13" (trixie).'),
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

# Nobody has the private half of this key: its 32 bytes were drawn at random.
_EXAMPLE_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIFxQyRpQ5xZza2bBWTk0hp/cN+2ax4cIJPWW/synBeg/ ops@example"

_BLOCKS = f"""
# Feature "promtail" ships the journal to Loki. It needs this table, since Debian has no such package.
#[images.template.promtail]
# Where Loki takes logs.
#loki_url = "http://loki.example:3100/loki/api/v1/push"
# The package to install, beside this file.
#package = "promtail.deb"

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
#ssh_keys = ["{_EXAMPLE_KEY}"]
# Whether it may become root, without a password since it has none.
#sudo = false
"""


def render_starter() -> str:
    """Return the text of a commented ``imagekit.toml`` that means exactly the built-in default."""
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
        case StrEnum() | str():
            return json.dumps(value)  # for printable text a TOML basic string is a JSON string
        case int() if key in ("size", "esp"):
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


def _render_keys(keys: tuple[tuple[str, str], ...], noun: ImageDefinition | Base | SshPolicy | VerifyPolicy) -> str:
    return "".join(f"# {why}\n#{key} = {render_value(key, getattr(noun, key))}\n" for key, why in keys)
