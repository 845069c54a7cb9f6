"""cloud-init: will a clone find its data, take its name, grow its disk, and know nothing of the build.

Source of the rules: cloud-init's ``tools/ds-identify``, ``stages.py``, ``cc_growpart.py`` and ``cmd/clean.py``.
"""

import re
from collections.abc import Iterator

from imagekit.disk.tree import FileType
from imagekit.report import Severity
from imagekit.verify.check import MACHINES, Check, Policy, Seen, Subject
from imagekit.verify.facts.boot_entries import read_arguments
from imagekit.verify.facts.cloud_config import (
    find_datasources,
    find_switches,
    is_installed,
    is_off,
    is_on,
    read_cloud_config,
    reads_local_drive,
)
from imagekit.verify.view import CannotSee, View

_STATE = "/var/lib/cloud"
_MULTI_LINE = re.compile(r"^datasource_list\s*:\s*(?:#.*)?$|^datasource_list\s*:\s*\[[^\]]*$", re.MULTILINE)
_LOCAL_NAMES = ("NoCloud", "ConfigDrive", "None")


def _need_cloud_init(view: View) -> None:
    if not is_installed(view):
        raise CannotSee("cloud-init is not installed")


def find_installed(view: View, _policy: Policy) -> Iterator[Seen]:
    """Look for the program, what detects its data, and what puts it into the boot."""
    if not is_installed(view):
        yield Seen("/usr/bin/cloud-init", "there is no such file")
        return
    if not any(view.is_file(f"{place}/cloud-init/ds-identify") for place in ("/usr/lib", "/usr/libexec")):
        yield Seen("/usr/lib/cloud-init/ds-identify", "there is no such file")
    generators = [f"{place}/systemd/system-generators/cloud-init-generator" for place in ("/usr/lib", "/lib")]
    if not any(view.is_file(path) for path in generators):
        yield Seen(generators[0], "there is no such file")


def find_disabled(view: View, _policy: Policy) -> Iterator[Seen]:
    """Look for everything that keeps cloud-init from running."""
    _need_cloud_init(view)
    for path, reason in find_switches(view):
        yield Seen(path, reason)


def find_datasource(view: View, _policy: Policy) -> Iterator[Seen]:
    """Look at the list of datasources that counts, and at what the kernel command line forces."""
    path, names = find_datasources(view)
    if not reads_local_drive(view):
        yield Seen(path, f"datasource_list is [{', '.join(names or ())}]: neither NoCloud nor ConfigDrive")
    elif names is not None:
        local = min(names.index(name) for name in _LOCAL_NAMES[:2] if name in names)
        if before := [name for name in names[:local] if name not in _LOCAL_NAMES]:
            yield Seen(path, f"asks the network first ({', '.join(before)})", Severity.INFO)
    for file in read_cloud_config(view).files:
        if _MULTI_LINE.search(file.text):
            yield Seen(
                file.path, "datasource_list is written on several lines: ds-identify does not see it", Severity.WARN
            )
    for argument in read_arguments(view):
        key, equals, value = argument.text.partition("=")
        name = re.split(r"[;,]", value)[0].lower()
        if key in ("ds", "ci.ds", "ci.datasource") and equals and name not in ("nocloud", "nocloud-net", "configdrive"):
            yield Seen(argument.path, f"the kernel command line asks for datasource {name or '(none)'}")


def find_state(view: View, _policy: Policy) -> Iterator[Seen]:
    """Look for what a run of cloud-init leaves; empty directories are clean."""
    if view.tree.lstat(f"{_STATE}/instance") is not None:
        yield Seen(f"{_STATE}/instance", "points at the instance of an earlier run")
    for name in ("instances", "data", "sem", "handlers"):
        for path, _ in view.children(f"{_STATE}/{name}"):
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
            if volume.label.lower() == "cidata":
                yield Seen(volume.device, "is labelled cidata: a seed on the template's own disk")
    if not is_installed(view):
        return
    for file in read_cloud_config(view).files:
        sources = file.values.get("datasource")
        nocloud = sources.get("NoCloud") if isinstance(sources, dict) else None
        if isinstance(nocloud, dict):
            for key in ("seedfrom", "user-data", "meta-data"):
                if nocloud.get(key):
                    yield Seen(file.path, f"datasource NoCloud has {key}")


def find_network_disabled(view: View, _policy: Policy) -> Iterator[Seen]:
    """Look for the mapping, in whatever file, and for the kernel argument."""
    for file in read_cloud_config(view).files:
        network = file.values.get("network")
        if isinstance(network, dict) and network.get("config") == "disabled":
            yield Seen(file.path, "network: {config: disabled}")
    for argument in read_arguments(view):
        if argument.text == "network-config=disabled":
            yield Seen(argument.path, "kernel command line has network-config=disabled")


def find_preserve_hostname(view: View, _policy: Policy) -> Iterator[Seen]:
    """Look at the effective ``preserve_hostname``."""
    config = read_cloud_config(view)
    if is_on(config.get("preserve_hostname")):
        yield Seen(config.origin("preserve_hostname"), "preserve_hostname: true")


def find_unreadable_config(view: View, _policy: Policy) -> Iterator[Seen]:
    """Look for files that cloud-init cannot use, and for names that it never reads."""
    for file in read_cloud_config(view).files:
        if file.problem:
            yield Seen(file.path, file.problem)
    for path, node in view.children("/etc/cloud/cloud.cfg.d"):
        if path.endswith((".yaml", ".yml")) and node.type is FileType.FILE:
            yield Seen(path, "only names that end in .cfg are read", Severity.WARN)


def find_deletekeys(view: View, _policy: Policy) -> Iterator[Seen]:
    """Look at the effective ``ssh_deletekeys``; with keys in the image it fails."""
    config = read_cloud_config(view)
    if is_off(config.get("ssh_deletekeys")):
        left = [name for name in view.tree.names("/etc/ssh") if name.startswith("ssh_host_")]
        severity = Severity.FAIL if left else Severity.WARN
        yield Seen(config.origin("ssh_deletekeys"), "ssh_deletekeys: false", severity)


def find_manual_clean(view: View, _policy: Policy) -> Iterator[Seen]:
    """Look for what makes cloud-init trust an old instance for ever."""
    config = read_cloud_config(view)
    if is_on(config.get("manual_cache_clean")):
        yield Seen(config.origin("manual_cache_clean"), "manual_cache_clean: true")


CHECKS = (
    Check(
        id="cloud-init-installed",
        severity=Severity.FAIL,
        subject=Subject.CLOUD_INIT,
        why="without it a clone gets no user, key, name or address",
        fix="apt install cloud-init",
        find=find_installed,
        profiles=MACHINES,
    ),
    Check(
        id="cloud-init-enabled",
        severity=Severity.FAIL,
        subject=Subject.CLOUD_INIT,
        why="the clone boots normally, but without its user, key, name and address, and nothing reports an error",
        fix="remove the marker or argument; systemctl unmask and enable the cloud-init units",
        find=find_disabled,
        profiles=MACHINES,
    ),
    Check(
        id="cloud-init-datasource",
        severity=Severity.FAIL,
        subject=Subject.CLOUD_INIT,
        why="Proxmox's cloud-init drive is read only by NoCloud or ConfigDrive; a list without them ignores it",
        fix="datasource_list: [NoCloud, ConfigDrive, None]",
        find=find_datasource,
        profiles=MACHINES,
    ),
    Check(
        id="cloud-init-state",
        severity=Severity.FAIL,
        subject=Subject.CLOUD_INIT,
        why="work that is done once per instance is skipped on clones, and the state holds the build's user-data",
        fix="cloud-init clean --logs --seed",
        find=find_state,
        profiles=MACHINES,
    ),
    Check(
        id="cloud-init-seed",
        severity=Severity.FAIL,
        subject=Subject.CLOUD_INIT,
        why="what the clone's own data does not set comes from the build's seed, its keys included",
        fix="cloud-init clean --seed, and remove the lines that carry a seed",
        find=find_seed,
        profiles=MACHINES,
    ),
    Check(
        id="cloud-init-network-disabled",
        severity=Severity.FAIL,
        subject=Subject.CLOUD_INIT,
        why="the clone ignores its ipconfig and keeps the builder's network configuration",
        fix="remove the file or the argument",
        find=find_network_disabled,
        profiles=MACHINES,
    ),
    Check(
        id="preserve-hostname",
        severity=Severity.FAIL,
        subject=Subject.CLOUD_INIT,
        why="every clone keeps the template's name",
        fix="remove preserve_hostname",
        find=find_preserve_hostname,
        profiles=MACHINES,
    ),
    Check(
        id="cloud-config-syntax",
        severity=Severity.FAIL,
        subject=Subject.CLOUD_INIT,
        why="cloud-init skips a file it cannot read, so what it should set is silently missing",
        fix="mend the file; cloud-init schema -c FILE names the place",
        find=find_unreadable_config,
        profiles=MACHINES,
    ),
    Check(
        id="ssh-deletekeys",
        severity=Severity.WARN,
        subject=Subject.CLOUD_INIT,
        why="host keys that were left in the image are kept by every clone",
        fix="remove the line",
        find=find_deletekeys,
        profiles=MACHINES,
    ),
    Check(
        id="manual-cache-clean",
        severity=Severity.FAIL,
        subject=Subject.CLOUD_INIT,
        why="cloud-init takes the old instance for the current one and does nothing on a clone",
        fix="remove manual_cache_clean",
        find=find_manual_clean,
        profiles=MACHINES,
    ),
)
