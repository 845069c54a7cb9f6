"""What cloud-init and the build leave behind: instances, seeds, logs, mounts, and hooks that never ran.

Source of the rules: cloud-init's ``cmd/clean.py``, ``DataSourceNoCloud.py``, ``cc_mounts.py`` and its ChangeLog.
"""

import re
from collections.abc import Iterator

from imagekit.disk.tree import FileType
from imagekit.report import Severity
from imagekit.verify.check import EVERYWHERE, MACHINES, Check, Policy, Seen, Subject
from imagekit.verify.evidence import HASH, name_hash_scheme
from imagekit.verify.facts.boot_entries import read_arguments
from imagekit.verify.facts.clean_hooks import read_clean_hooks
from imagekit.verify.facts.cloud_config import is_installed, read_cloud_config
from imagekit.verify.facts.filesystems import read_fstab
from imagekit.verify.facts.system import MachineId, read_distribution, read_machine_id
from imagekit.verify.view import CannotSee, View

_STATE = "/var/lib/cloud"
_SEED_LABELS = ("cidata", "config-2")
_SEED_KEYS = ("seedfrom", "user-data", "meta-data", "vendor-data", "network-config")
_STATUS = "/var/lib/dpkg/status"
_STATUS_LIMIT = 16 << 20
_VERSION = re.compile(r"^Version: (?:\d+:)?((\d+)\.(\d+)\S*)$", re.MULTILINE)
_OWN_VERSIONS = {"11": "20.4.1-2", "12": "22.4.2-1"}  # what a release of Debian has, and mends until its end
_LOG_LIMIT = 1 << 20
_SECRET = re.compile(
    r"\b(?:plain_text_passwd|hashed_passwd|passwd|password|psk|pre-shared-key|secret|token)[\"']?\s{0,4}[:=]\s{0,4}"
    r"[\"']?(?!none|null|true|false|redacted|<|\*|!)[^\s\"',{}\[\]()<>]{4}",
    re.IGNORECASE,
)


def find_state(view: View, _policy: Policy) -> Iterator[Seen]:
    """Look for what a run of cloud-init leaves; empty directories are clean."""
    if view.tree.lstat(f"{_STATE}/instance") is not None:
        yield Seen(f"{_STATE}/instance", "points at the instance of an earlier run")
    for path, _ in view.children(f"{_STATE}/instances"):
        yield Seen(path, "an instance of an earlier run")
    for name in ("data", "sem", "handlers"):
        for path, _ in view.files_below(f"{_STATE}/{name}"):
            yield Seen(path, "left by an earlier run")
    for path, _ in view.files_below(f"{_STATE}/scripts"):
        yield Seen(path, "a script of an earlier run")


def find_seed(view: View, _policy: Policy) -> Iterator[Seen]:
    """Look for data of the build that would be merged under the clone's own."""
    for directory in (f"{_STATE}/seed", f"/writable/system-data{_STATE}/seed"):
        for path, _ in view.files_below(directory):
            yield Seen(path, "seed data inside the image")
    for argument in read_arguments(view):
        if re.match(r"ds=nocloud[^;]*;.", argument.text, re.IGNORECASE):
            yield Seen(argument.path, "the kernel command line carries a seed (ds=nocloud;…)")
    if view.has_disk:
        for volume in view.volumes():
            if volume.label.lower() in _SEED_LABELS:
                yield Seen(volume.device, f"is labelled {volume.label}: a seed on the template's own disk")
    if not is_installed(view):
        return
    for file in read_cloud_config(view).files:
        sources = file.values.get("datasource")
        nocloud = sources.get("NoCloud") if isinstance(sources, dict) else None
        if isinstance(nocloud, dict):
            for key in _SEED_KEYS:
                if nocloud.get(key):
                    yield Seen(file.path, f"datasource NoCloud has {key}")


def find_clean_hooks(view: View, _policy: Policy) -> Iterator[Seen]:
    """Look for hooks of ``cloud-init clean`` that cannot run, and for files that a hook would have removed.

    ``clean`` skips a hook without execute permission, and all of them when ``/var/lib/cloud`` is gone; it says neither.
    """
    for hook in read_clean_hooks(view):
        if not hook.executable:
            yield Seen(hook.path, f"mode {hook.mode:04o}: clean skips it", fix='`chmod +x "$path"`')
        for target in hook.removes:
            if view.tree.lstat(target) is not None:
                yield Seen(target, f"{hook.path} would have removed it", Severity.FAIL, '`rm -f "$path"`')


def find_logs(view: View, _policy: Policy) -> Iterator[Seen]:
    """Look for cloud-init's logs, rotated ones too, and for secrets in their first MiB (CVE-2022-2084, CVE-2023-1786).

    A compressed log is reported without a look inside.
    """
    for path, node in view.children("/var/log"):
        name = path.rsplit("/", 1)[-1]
        if not name.startswith("cloud-init") or ".log" not in name or node.type is not FileType.FILE or not node.size:
            continue
        text = view.text(path, _LOG_LIMIT, head=True) or ""
        if match := HASH.search(text):
            yield Seen(path, f"a log with a {name_hash_scheme(match.group())} password hash inside", Severity.FAIL)
        elif match := _SECRET.search(text):
            word = re.split(r"[\"'\s:=]", match.group(), maxsplit=1)[0].lower()
            yield Seen(path, f"a log with a value for {word} inside", Severity.FAIL)
        else:
            yield Seen(path, f"{node.size} bytes about the build's own boot")


def find_mounts(view: View, _policy: Policy) -> Iterator[Seen]:
    """Look for fstab lines that cloud-init wrote for the build machine's disks."""
    for line in read_fstab(view):
        if "comment=cloudconfig" in line.options:
            yield Seen("/etc/fstab", f"cloud-init mounted {line.source} at {line.target}")


def find_old_version(view: View, _policy: Policy) -> Iterator[Seen]:
    """Look for a cloud-init before 23.1, whose ``clean --machine-id`` deletes the file instead of resetting it.

    The one of a Debian release is that release's business, unless the file is in fact gone.
    """
    if not is_installed(view):
        raise CannotSee("cloud-init is not installed")
    if not view.is_file(_STATUS):
        raise CannotSee("only dpkg's database is read for versions")
    text = f"\n{view.text(_STATUS, _STATUS_LIMIT) or ''}\n"
    start = text.find("\nPackage: cloud-init\n")
    match = _VERSION.search(text[start + 1 : text.find("\n\n", start + 1)]) if start >= 0 else None
    if match is None:
        yield Seen("/usr/bin/cloud-init", "belongs to no package, so nothing keeps it up to date", Severity.INFO)
        return
    if (int(match.group(2)[:6]), int(match.group(3)[:6])) >= (23, 1):
        return
    distribution = read_distribution(view)
    own = _OWN_VERSIONS.get(distribution.version_id, "-") if distribution.id == "debian" else "-"
    is_gone = read_machine_id(view) is MachineId.MISSING
    if is_gone or not match.group(1).startswith(own):
        gone = ", and /etc/machine-id is gone" if is_gone else ""
        yield Seen(_STATUS, f"cloud-init {match.group(1)[:40]}: clean --machine-id deletes the file{gone}")


CHECKS = (
    Check(
        id="cloud-init-state",
        severity=Severity.FAIL,
        subject=Subject.CLOUD_INIT,
        why="work that is done once per instance is skipped on clones, and the state holds the build's user-data",
        fix="`cloud-init clean --logs --seed`",
        find=find_state,
        profiles=EVERYWHERE,
    ),
    Check(
        id="cloud-init-seed",
        severity=Severity.FAIL,
        subject=Subject.CLOUD_INIT,
        why="what the clone's own data does not set comes from the build's seed, its keys included",
        fix="`cloud-init clean --seed; grep -rl seedfrom /etc/cloud/cloud.cfg.d`, and remove these lines",
        find=find_seed,
        profiles=EVERYWHERE,
    ),
    Check(
        id="clean-hooks",
        severity=Severity.WARN,
        subject=Subject.CLOUD_INIT,
        why="what installers and packages leave for cloud-init clean to remove stays in every clone",
        fix="`chmod +x /etc/cloud/clean.d/[!R]* && cloud-init clean --logs --seed`",
        find=find_clean_hooks,
        profiles=MACHINES,
    ),
    Check(
        id="cloud-init-logs",
        severity=Severity.WARN,
        subject=Subject.CLOUD_INIT,
        why="logs of the build travel with every clone, and cloud-init has written passwords into them",
        fix="`cloud-init clean --logs; rm -f /var/log/cloud-init*.log*`",
        find=find_logs,
        profiles=EVERYWHERE,
    ),
    Check(
        id="cloud-init-fstab",
        severity=Severity.WARN,
        subject=Subject.CLOUD_INIT,
        why="clones try to mount the build machine's disks; before 25.2 cloud-init clean does not remove the lines",
        fix="`sed -i '/comment=cloudconfig/d' /etc/fstab`",
        find=find_mounts,
        profiles=MACHINES,
    ),
    Check(
        id="cloud-init-version",
        severity=Severity.WARN,
        subject=Subject.CLOUD_INIT,
        why="a clean-up with it removes /etc/machine-id, and a clone whose root starts read-only gets no network",
        fix="`apt install --only-upgrade cloud-init; : > /etc/machine-id`",
        find=find_old_version,
        profiles=MACHINES,
    ),
)
