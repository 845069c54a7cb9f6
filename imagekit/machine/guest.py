"""What a running guest says of itself: one script, one round trip, one document of bounded size.

The script is POSIX shell, works as root (through the agent) and as a user with passwordless sudo (through SSH), and
asks the system itself instead of believing cloud-init's summary, which says "done" for a clone that nobody can enter.
"""

import base64
import json
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field

from imagekit.errors import HostFailed
from imagekit.host.ssh import HostKey
from imagekit.machine.serial import clean_text

DOCUMENT_BYTES = 512 << 10
_VALUE_BYTES = 24 << 10
_MAX_ITEMS = 64
_ACCOUNT = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,31}\$?")
_UNIT = re.compile(r"[A-Za-z0-9:_.@\\-]{1,255}\.[a-z]{4,9}")

# `is-system-running --wait` sleeps in the guest until its boot is over, so nobody has to ask again and again.
# cloud-init's own files are read because its program takes seconds to start under emulation, and because
# `status --format json` is newer than some images (cloud-init, "Boot stages" and "Status files").
_SCRIPT = r"""
LC_ALL=C; export LC_ALL
PATH=$PATH:/usr/sbin:/sbin
say() { printf '%s=' "$1"; head -c LIMIT | base64 | tr -d '\n'; echo; }
as_root() { if [ "$(id -u)" = 0 ]; then "$@"; else sudo -n "$@"; fi; }
main() {
echo 'BEGIN-NONCE'
state=$(timeout WAIT systemctl is-system-running --wait) || :
[ -n "$state" ] || state=$(systemctl is-system-running)
echo "$state" | say state
[ "$state" != starting ] || systemctl list-jobs --no-legend --no-pager | say jobs
systemctl list-units --failed --plain --no-legend --no-pager | say failed
cat /etc/machine-id | say machine_id
uname -n | say hostname
uname -r | say kernel
cat /proc/sys/kernel/random/boot_id | say boot_id
as_root cat /sys/class/dmi/id/product_uuid | say product_uuid
for key in /etc/ssh/ssh_host_*_key.pub; do [ ! -f "$key" ] || head -c 4096 "$key"; done | say host_keys
if [ -e /run/cloud-init/disabled ]; then echo yes; fi | say cloud_disabled
as_root cat /run/cloud-init/status.json | say cloud_status
as_root cat /run/cloud-init/result.json | say cloud_result
device=$(cd -P "/sys/dev/block/$(findmnt -nro MAJ:MIN /)" && pwd)
{ stat -f -c '%S %b' /; cat "$device/size" "$device/start" "$device/../size"; } | say root
ip -o addr show scope global | say addresses
as_root sshd -T | say sshd
if as_root true; then echo yes; fi | say privileged
systemctl is-active qemu-guest-agent.service | say agent
getent passwd | say accounts
as_root awk -F: '$2 !~ /^[!*]/ { print $1 }' /etc/shadow | say passwords
echo 'END-NONCE'
}
main 2>/dev/null </dev/null
"""


@dataclass(frozen=True, slots=True)
class GuestFacts:
    """One guest's answers. Empty text, an empty tuple or ``None`` means that the guest did not tell.

    Sizes are in bytes: ``root_bytes`` is the root filesystem, ``root_device_bytes`` what holds it, ``unused_bytes``
    the disk behind root's partition (``None`` when root is on no partition). ``sshd`` is the effective configuration by
    lower-case keyword. ``password_accounts`` have a hash that is not locked, or an empty one. ``cloud_finished`` is
    true when cloud-init ended its last stage. ``jobs`` are the units a boot still waited for.
    """

    machine_id: str = ""
    hostname: str = ""
    kernel: str = ""
    boot_id: str = ""
    product_uuid: str = ""
    system_state: str = ""
    jobs: tuple[str, ...] = ()
    failed_units: tuple[str, ...] | None = None
    host_keys: tuple[HostKey, ...] = ()
    cloud_disabled: bool = False
    cloud_finished: bool = False
    cloud_datasource: str = ""
    cloud_errors: tuple[str, ...] = ()
    root_bytes: int | None = None
    root_device_bytes: int | None = None
    unused_bytes: int | None = None
    addresses: tuple[str, ...] = ()
    sshd: Mapping[str, str] = field(default_factory=dict)
    agent_state: str = ""
    accounts: tuple[str, ...] = ()
    password_accounts: tuple[str, ...] | None = None

    def describe(self) -> dict[str, object]:
        """Return what a report keeps: plain values, fingerprints instead of keys."""
        return {
            "machine_id": self.machine_id,
            "hostname": self.hostname,
            "kernel": self.kernel,
            "product_uuid": self.product_uuid,
            "system_state": self.system_state,
            "failed_units": list(self.failed_units or ()),
            "host_keys": [f"{key.type} {key.fingerprint}" for key in self.host_keys],
            "cloud_init": "disabled" if self.cloud_disabled else "done" if self.cloud_finished else "not done",
            "cloud_init_datasource": self.cloud_datasource,
            "cloud_init_errors": list(self.cloud_errors),
            "root_bytes": self.root_bytes,
            "addresses": list(self.addresses),
            "agent": self.agent_state,
        }


def make_script(nonce: str, *, wait_seconds: int) -> str:
    """Return the script; it waits up to ``wait_seconds`` for the end of the boot. ``nonce`` marks its document."""
    return _SCRIPT.replace("NONCE", nonce).replace("LIMIT", str(_VALUE_BYTES)).replace("WAIT", str(wait_seconds))


def make_nonce() -> str:
    """Return a mark that no banner or message of the day can hold by accident."""
    return secrets.token_hex(8)


def parse_document(output: bytes, nonce: str) -> GuestFacts:
    """Read what :func:`make_script` printed; values that make no sense count as not told.

    Raises :class:`HostFailed` when the document is not there, was cut, or is too long.
    """
    if len(output) > DOCUMENT_BYTES:
        raise HostFailed(f"the guest's answer has more than {DOCUMENT_BYTES} bytes")
    _, begin, rest = output.partition(f"BEGIN-{nonce}\n".encode())
    body, end, _ = rest.partition(f"END-{nonce}".encode())
    if not begin or not end:
        raise HostFailed("the guest's answer is not complete")
    values = dict(_decode_line(line) for line in body.splitlines())
    datasource, finished, errors = _read_cloud_init(values.get("cloud_status", ""), values.get("cloud_result", ""))
    root, device, unused = _read_root(values.get("root", ""))
    return GuestFacts(
        machine_id=_word(values, "machine_id"),
        hostname=_word(values, "hostname"),
        kernel=_word(values, "kernel"),
        boot_id=_word(values, "boot_id"),
        product_uuid=_word(values, "product_uuid").lower(),
        system_state=_word(values, "state"),
        jobs=tuple(" ".join(line.split()[1:3]) for line in _lines(values, "jobs")),
        failed_units=_read_units(values),
        host_keys=_read_host_keys(values.get("host_keys", "")),
        cloud_disabled=_word(values, "cloud_disabled") == "yes",
        cloud_finished=finished,
        cloud_datasource=datasource,
        cloud_errors=errors,
        root_bytes=root,
        root_device_bytes=device,
        unused_bytes=unused,
        addresses=_read_addresses(values),
        sshd=_read_sshd(values.get("sshd", "")),
        agent_state=_word(values, "agent"),
        accounts=_read_accounts(values.get("accounts", "")),
        password_accounts=_read_names(values),
    )


def _decode_line(line: bytes) -> tuple[str, str]:
    name, _, value = line.partition(b"=")
    try:
        text = base64.b64decode(value, validate=True).decode(errors="replace")
    except ValueError:
        text = ""
    return name.decode(errors="replace"), clean_text(text)


def _word(values: Mapping[str, str], name: str) -> str:
    """Return the first word of a value, at most 128 characters."""
    return next(iter(values.get(name, "").split()), "")[:128]


def _lines(values: Mapping[str, str], name: str) -> list[str]:
    return [line.strip()[:300] for line in values.get(name, "").splitlines() if line.strip()][:_MAX_ITEMS]


def _read_units(values: Mapping[str, str]) -> tuple[str, ...] | None:
    """Return the failed units; ``None`` when systemd did not answer at all, since no news is no good news."""
    if not values.get("state"):
        return None
    words = (line.split()[0] for line in _lines(values, "failed"))
    return tuple(word for word in words if _UNIT.fullmatch(word))


def _read_host_keys(text: str) -> tuple[HostKey, ...]:
    keys = []
    for line in text.splitlines()[:_MAX_ITEMS]:
        match line.split():
            case [kind, blob, *_] if re.fullmatch(r"[a-z0-9@.-]{3,64}", kind):
                try:
                    base64.b64decode(blob, validate=True)
                except ValueError:
                    continue
                keys.append(HostKey(kind, blob))
    return tuple(keys)


def _read_cloud_init(status: str, result: str) -> tuple[str, bool, tuple[str, ...]]:
    """Return cloud-init's datasource, whether its last stage ended, and the errors of every stage."""
    stages, end = _load_v1(status), _load_v1(result)
    errors = [str(error) for source in (*stages.values(), end) for error in _list_errors(source)]
    final = stages.get("modules-final")
    finished = bool(end) or (isinstance(final, dict) and bool(final.get("finished")))
    datasource = end.get("datasource") or stages.get("datasource") or ""
    unique = dict.fromkeys(clean_text(error)[:300] for error in errors)
    return str(datasource)[:128], finished, tuple(unique)[:_MAX_ITEMS]


def _load_v1(text: str) -> dict[str, object]:
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    inner = document.get("v1") if isinstance(document, dict) else None
    return inner if isinstance(inner, dict) else {}


def _list_errors(source: object) -> list[object]:
    errors = source.get("errors") if isinstance(source, dict) else None
    return errors if isinstance(errors, list) else []


def _read_root(text: str) -> tuple[int | None, int | None, int | None]:
    """Return the sizes of root's filesystem and device, and the bytes behind its partition; sysfs counts in 512s."""
    numbers = [int(word) for word in text.split()[:5] if re.fullmatch(r"\d{1,15}", word)]
    if len(numbers) < 2:
        return None, None, None
    root = numbers[0] * numbers[1]
    if len(numbers) < 5:
        return root, numbers[2] * 512 if len(numbers) > 2 else None, None
    size, start, disk = numbers[2:]
    return root, size * 512, (disk - start - size) * 512


def _read_addresses(values: Mapping[str, str]) -> tuple[str, ...]:
    found = (re.search(r" inet6? ([0-9a-fA-F.:]+)/", line) for line in _lines(values, "addresses"))
    return tuple(match.group(1) for match in found if match)


def _read_sshd(text: str) -> dict[str, str]:
    pairs = (line.partition(" ") for line in text.splitlines()[:500])
    return {keyword.lower(): value.strip() for keyword, space, value in pairs if space}


def _read_accounts(text: str) -> tuple[str, ...]:
    """Return the people among the accounts: Debian gives them ids 1000 to 59999 (adduser.conf(5))."""
    found = []
    for line in text.splitlines()[:1000]:
        fields = line.split(":")
        if len(fields) == 7 and re.fullmatch(r"\d{4,5}", fields[2]) and 1000 <= int(fields[2]) < 60000:
            found.append(fields[0])
    return tuple(name for name in found if _ACCOUNT.fullmatch(name))


def _read_names(values: Mapping[str, str]) -> tuple[str, ...] | None:
    """Return accounts with a usable password; ``None`` when nobody was allowed to look."""
    if _word(values, "privileged") != "yes":  # without root an empty list would mean nothing
        return None
    return tuple(name for name in _lines(values, "passwords") if _ACCOUNT.fullmatch(name))
