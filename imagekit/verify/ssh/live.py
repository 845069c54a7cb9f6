"""Ask a running machine what its files do not say: a shell script of questions, and how its answers are read.

Each answer stands after a line with a mark that only this script knows, cut after 64 KiB; each question has 5 s.
"""

import base64
import hashlib
import json
import re

from imagekit.verify.live import LiveFacts

_MOST_LINES = 1000
_FINGERPRINTED = re.compile(r"(ssh-[a-z0-9]+|ecdsa-sha2-nistp\d+) ([A-Za-z0-9+/]{16,4096}={0,2})(\s|$)")
_UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_ID = re.compile(r"[0-9a-f]{32}")

# systemctl(1), cloud-init status (CLI documentation), sshd(8) -T, ip-address(8), df(1), lsblk(8).
_QUESTIONS = {
    "user": "id -un",
    "hostname": "cat /proc/sys/kernel/hostname",
    "machine-id": "cat /etc/machine-id",
    "boot-id": "cat /proc/sys/kernel/random/boot_id",
    "product-uuid": "$as cat /sys/class/dmi/id/product_uuid",
    "failed-units": "limited systemctl list-units --state=failed --plain --no-legend --no-pager --full",
    "system-state": "limited systemctl is-system-running",
    "cloud-init": "limited cloud-init status --format json || limited cloud-init status --long",
    "sshd": "limited $as sshd -T",
    "addresses": "limited ip -o address show",
    "host-keys": "cat /etc/ssh/ssh_host_*_key.pub",
    "root": "limited df -P -k /",
    "disk": "limited lsblk -n -b -s -o TYPE,SIZE \"$(df -P / | awk 'NR == 2 { print $1 }')\"",
}
_PREAMBLE = """\
LC_ALL=C; export LC_ALL
PATH="$PATH:/usr/local/sbin:/usr/sbin:/sbin:/run/current-system/sw/bin"; export PATH
limited() { if command -v timeout >/dev/null 2>&1; then timeout 5 "$@"; else "$@"; fi; }
"""


def make_questions(mark: str, *, sudo: bool) -> str:
    """Return the shell script; with ``sudo`` what only root may ask is asked through ``sudo -n``, unless it is root."""
    rights = "as='sudo -n --'; [ \"$(id -u)\" != 0 ] || as=\n" if sudo else "as=\n"
    lines = [_PREAMBLE + rights]
    for name, command in _QUESTIONS.items():
        lines.append(f"printf '\\n%s %s\\n' {mark} {name}; {{ {command}; }} 2>/dev/null </dev/null | head -c 65536")
    return "\n".join((*lines, f"printf '\\n%s end\\n' {mark}\n"))


def read_answers(output: bytes, mark: str, mounts: tuple[str, ...], *, privileged: bool) -> LiveFacts:
    """Return the facts in what the script said; what is missing or makes no sense is left empty."""
    said: dict[str, str] = {}
    for part in output.decode("utf-8", "replace").split(f"\n{mark} ")[1:]:
        name, _, text = part.partition("\n")
        said[name] = text.strip()
    get = said.get
    sshd = tuple(line.strip() for line in get("sshd", "").splitlines()[:_MOST_LINES])
    status, errors = _read_cloud_init(get("cloud-init", ""))
    return LiveFacts(
        failed_units=tuple(
            line.split()[0] for line in get("failed-units", "").splitlines()[:_MOST_LINES] if line.split()
        ),
        system_state=get("system-state", "").splitlines()[0] if get("system-state") else "",
        cloud_init=status,
        sshd_config=sshd or None,
        root_bytes=_read_size(get("root", ""), 1, 1024),
        disk_bytes=max((_read_disk(line) for line in get("disk", "").splitlines()[:_MOST_LINES]), default=0),
        user=get("user", ""),
        privileged=privileged,
        hostname=get("hostname", ""),
        machine_id=_match(_ID, get("machine-id", "")),
        boot_id=_match(_UUID, get("boot-id", "")),
        product_uuid=_match(_UUID, get("product-uuid", "")).lower(),
        addresses=tuple(dict.fromkeys(_read_addresses(get("addresses", "")))),
        host_keys=tuple(_read_fingerprints(get("host-keys", ""))),
        mounted_over=mounts,
        cloud_init_errors=errors,
    )


def _match(pattern: re.Pattern[str], text: str) -> str:
    return text if pattern.fullmatch(text) else ""


def _read_cloud_init(text: str) -> tuple[str, tuple[str, ...]]:
    """Return the status ("done", "degraded done" since 24.1, "error", …) and the errors that it names."""
    if not text.startswith("{"):
        fields = dict(line.split(": ", 1) for line in text.splitlines() if ": " in line)
        return fields.get("status", "").strip(), ()
    try:
        # A status that is not "done" is an error of the program, so its plain answer may follow.
        document, _ = json.JSONDecoder().raw_decode(text)
    except (ValueError, RecursionError):
        return "", ()
    if not isinstance(document, dict):
        return "", ()
    status = document.get("extended_status") or document.get("status")
    errors = document.get("errors")
    named = errors if isinstance(errors, list) else []
    return str(status or ""), tuple(str(each)[:500] for each in named[:20])


def _read_size(text: str, column: int, unit: int) -> int:
    """Return a number of the second line of df's table in bytes; 0 when there is none."""
    rows = text.splitlines()
    fields = rows[1].split() if len(rows) > 1 else []
    return int(fields[column]) * unit if len(fields) > column and fields[column][:18].isdecimal() else 0


def _read_disk(line: str) -> int:
    kind, _, size = line.strip().partition(" ")
    return int(size) if kind == "disk" and size.strip().isdecimal() and len(size) < 24 else 0


def _read_addresses(text: str) -> list[str]:
    """Return the addresses of ``ip -o address`` but those of the machine itself."""
    found = []
    for line in text.splitlines()[:_MOST_LINES]:
        words = line.split()
        if len(words) > 3 and words[1] != "lo" and words[2] in ("inet", "inet6"):
            found.append(words[3].partition("/")[0])
    return found


def _read_fingerprints(text: str) -> list[str]:
    """Return type and SHA-256 fingerprint of each public key, as ssh-keygen -l shows it."""
    found = []
    for line in text.splitlines()[:_MOST_LINES]:
        if match := _FINGERPRINTED.match(line):
            try:
                digest = hashlib.sha256(base64.b64decode(match.group(2))).digest()
            except ValueError:
                continue
            found.append(f"{match.group(1)} SHA256:{base64.b64encode(digest).decode().rstrip('=')}")
    return found
