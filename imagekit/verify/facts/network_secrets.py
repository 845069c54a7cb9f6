"""Wi-Fi and VPN secrets in network configuration: which file holds one, and under which name; never the value.

WireGuard's own files are the business of the check overlay-network.

Source of the formats: nm-settings-keyfile(5), netplan(5), wpa_supplicant.conf(5), pppd(8),
openvpn(8), ipsec.secrets(5), iwd.network(5), wpa_supplicant's Debian README.modes (``wpa-psk`` in interfaces(5)).
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from imagekit.disk.tree import FileType
from imagekit.verify.view import View, fact

_LIMIT = 256 << 10
_KEYFILE = re.compile(
    r"^\s*(psk|password|leap-password|private-key-password|private-key|preshared-key|wep-key\d?|pin|secret)\s*=\s*(\S.*)"
)
_NETPLAN = re.compile(r"(?:^|[\s{,\"'-])(password|private|shared|client-key-password)[\"']?\s*:\s*([^\s#{\[].*)")
_SUPPLICANT = re.compile(
    r"^\s*#?(psk|password|private_key_passwd|wep_key\d|sae_password)\s*=\s*(?!ext:)(\"[^\"]|hash:|[0-9a-f]{10})"
)
_INTERFACES = re.compile(r"^\s*(wpa-psk|wpa-password|wireless-key\d?|wpa-private-key-passwd|wpa-wep-key\d)\s+(\S+)")
_IFCFG = re.compile(r"^\s*(?:export\s+)?(WPA_PSK|KEY[1-4]?|KEY_PASSPHRASE\d|[A-Z0-9_]*PASSWORD)\s*=\s*[\"']?[^\s\"']")
_IPSEC = re.compile(r"^[^#]*:\s*(PSK|XAUTH|EAP)\s+\S")
_IWD = re.compile(r"^\s*(PreSharedKey|Passphrase|SAE-PT-Group\d+|EAP-\S*Password)\s*=\s*\S")
_OPENVPN_INLINE = re.compile(r"\s*<(auth-user-pass|secret|tls-auth|tls-crypt(?:-v2)?|key|pkcs12)>")
_OPENVPN_FILE = re.compile(r"\s*(auth-user-pass|askpass)\s+(\S+)")
# Keys may be given as the path of a file, which is no secret.
_MAY_BE_PATHS = ("private-key", "private", "shared", "preshared-key")
_PATH_VALUE = re.compile(r"[\"']?(?:/|file://|\./)")


@dataclass(frozen=True, slots=True)
class NetworkSecret:
    """A file with a secret of the kind that its format calls ``name``."""

    path: str
    name: str


@fact
def read_network_secrets(view: View) -> tuple[NetworkSecret, ...]:
    """Return every file of the network's configuration that holds a secret, with the first name found in it."""
    found: dict[str, NetworkSecret] = {}
    for secret in _read_everything(view):
        found.setdefault(secret.path, secret)
    return tuple(found.values())


def _read_everything(view: View) -> Iterator[NetworkSecret]:
    for directory, suffix, pattern in (
        ("/etc/NetworkManager/system-connections", "", _KEYFILE),
        ("/etc/netplan", ".yaml", _NETPLAN),
        ("/etc/wpa_supplicant", ".conf", _SUPPLICANT),
        ("/etc/network/interfaces.d", "", _INTERFACES),
        ("/etc/sysconfig/network", "", _IFCFG),
        ("/var/lib/iwd", "", _IWD),
    ):
        yield from _match_files(view, [path for path, _ in view.children(directory, suffix)], pattern)
    yield from _match_files(view, ["/etc/wpa_supplicant.conf"], _SUPPLICANT)
    yield from _match_files(view, ["/etc/network/interfaces"], _INTERFACES)
    yield from _match_files(view, ["/etc/ipsec.secrets"], _IPSEC)
    scripts = [path for path, _ in view.children("/etc/sysconfig/network-scripts")]
    yield from _match_files(view, [path for path in scripts if "/keys-" in path], _IFCFG)
    yield from _read_ppp(view)
    yield from _read_openvpn(view)


def _match_files(view: View, paths: list[str], pattern: re.Pattern[str]) -> Iterator[NetworkSecret]:
    for path in paths:
        for line in view.lines(path):
            match = (
                None if line.lstrip().startswith(("#", ";")) and pattern is not _SUPPLICANT else pattern.search(line)
            )
            if match is None:
                continue
            value = match.group(2) if pattern.groups > 1 else "present"
            is_path = match.group(1).lower() in _MAY_BE_PATHS and _PATH_VALUE.match(value)
            if not is_path and value.strip("\"' },") not in ("", "null", "~"):
                yield NetworkSecret(path, match.group(1))
                break


def _read_ppp(view: View) -> Iterator[NetworkSecret]:
    """Read pap-secrets and its kin: client, server, secret; the package's own lines have ``""`` or ``*`` there."""
    for path, _ in view.children("/etc/ppp", "-secrets"):
        for line in view.lines(path):
            words = line.split()
            if len(words) >= 3 and not line.startswith("#") and words[2].strip("\"'") not in ("", "*", "-"):
                yield NetworkSecret(path, "a PPP password")
                break


def _read_openvpn(view: View) -> Iterator[NetworkSecret]:
    for directory in ("/etc/openvpn", "/etc/openvpn/client", "/etc/openvpn/server"):
        for path, node in view.children(directory):
            if node.type is not FileType.FILE or not path.endswith((".conf", ".ovpn")):
                continue
            for line in (view.text(path, _LIMIT) or "").splitlines():
                if match := _OPENVPN_INLINE.match(line[:4096]):
                    yield NetworkSecret(path, match.group(1))
                elif match := _OPENVPN_FILE.match(line[:4096]):
                    name = match.group(2).strip("\"'")
                    named = name if name.startswith("/") else f"{directory}/{name}"
                    if view.is_file(named):
                        yield NetworkSecret(named, match.group(1))
