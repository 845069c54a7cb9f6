"""Host keys of OpenSSH, dropbear and tinyssh: where they are and which files are private ones."""

from imagekit.disk.tree import FileType
from imagekit.verify.evidence import PRIVATE_KEY
from imagekit.verify.facts.sshd import read_sshd_policy
from imagekit.verify.view import CannotSee, View, fact

KEY_LIMIT = 64 << 10
_SSH = "/etc/ssh"
_MOST_KEYS = 32


@fact
def list_host_keys(view: View) -> dict[str, bool]:
    """Return the path of each host key file and whether it is a private key; ``HostKey`` may name other places."""
    keys: dict[str, bool] = {}
    paths = [path for path, _ in view.children(_SSH) if path.startswith(f"{_SSH}/ssh_host_")]
    try:
        named = [setting.value for setting in read_sshd_policy(view).list_values("hostkey")][:_MOST_KEYS]
    except CannotSee:
        named = []
    for path in dict.fromkeys([*paths, *(path for path in named if view.is_file(path))]):
        keys[path] = bool(PRIVATE_KEY.search(view.text(path, KEY_LIMIT) or ""))
    for directory in ("/etc/dropbear", "/etc/dropbear/initramfs", "/etc/dropbear-initramfs"):
        keys |= {path: True for path, _ in view.children(directory, "_host_key")}
    for path, node in view.children("/etc/tinyssh/sshkeydir"):
        if node.type is FileType.FILE and "/." in path:
            keys[path] = True
    return keys
