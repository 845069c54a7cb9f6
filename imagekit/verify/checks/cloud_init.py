"""cloud-init: will a clone run it and find its data.

Source of the rules: cloud-init's ``tools/ds-identify`` and its units. What is configured is judged in
:mod:`imagekit.verify.checks.cloud_config`, what was left behind in :mod:`imagekit.verify.checks.cloud_state`.
"""

import re
from collections.abc import Iterator

from imagekit.report import Severity
from imagekit.verify.check import MACHINES, Check, Policy, Seen, Subject
from imagekit.verify.facts.boot_entries import read_arguments
from imagekit.verify.facts.cloud_config import (
    DETECTION,
    find_datasources,
    find_switches,
    is_installed,
    read_cloud_config,
    read_detection,
    reads_local_drive,
    turns_off,
)
from imagekit.verify.facts.system import Family, read_distribution
from imagekit.verify.view import CannotSee, View

_MULTI_LINE = re.compile(r"^datasource_list[ \t]*:[ \t]*(?:#.*)?$|^datasource_list[ \t]*:[ \t]*\[[^\]]*$", re.MULTILINE)
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
    yaml = "/usr/lib/python3/dist-packages/yaml/__init__.py"
    if read_distribution(view).family is Family.DEBIAN and not view.is_file(yaml):
        yield Seen(yaml, "there is no such file: cloud-init cannot read its configuration without python3-yaml")


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
        if names is not None and file.path == path and _MULTI_LINE.search(file.text):
            found = "datasource_list is written on several lines: ds-identify does not see it"
            yield Seen(path, found, Severity.WARN)
    for argument in read_arguments(view):
        key, equals, value = argument.text.partition("=")
        name = re.split(r"[;,]", value)[0].lower()
        if key in ("ds", "ci.ds", "ci.datasource") and equals and name not in ("nocloud", "nocloud-net", "configdrive"):
            yield Seen(argument.path, f"the kernel command line asks for datasource {name or '(none)'}")


def find_detection_policy(view: View, _policy: Policy) -> Iterator[Seen]:
    """Look for ds-identify's own file: it may turn detection off, or name a datasource that Proxmox does not have."""
    values = read_detection(view)
    source = values.get("datasource", "")
    if source and source.lower() not in ("nocloud", "configdrive"):
        yield Seen(DETECTION, f"datasource: {source[:40]}, and nothing else is looked for", Severity.FAIL)
    if policy := values.get("policy", ""):
        is_off = turns_off(policy)
        yield Seen(DETECTION, f"policy: {policy[:60]}", Severity.FAIL if is_off else None)
    elif source.lower() in ("nocloud", "configdrive"):
        yield Seen(DETECTION, f"datasource: {source}")


CHECKS = (
    Check(
        id="cloud-init-installed",
        severity=Severity.FAIL,
        subject=Subject.CLOUD_INIT,
        why="without it a clone gets no user, key, name or address",
        fix="`apt install cloud-init`",
        find=find_installed,
        profiles=MACHINES,
    ),
    Check(
        id="cloud-init-enabled",
        severity=Severity.FAIL,
        subject=Subject.CLOUD_INIT,
        why="the clone boots normally, but without its user, key, name and address, and nothing reports an error",
        fix=(
            "`rm -f /etc/cloud/cloud-init.disabled; systemctl unmask cloud-init-local cloud-config cloud-final; "
            "systemctl enable cloud-init-local cloud-config cloud-final`"
        ),
        find=find_disabled,
        profiles=MACHINES,
    ),
    Check(
        id="cloud-init-datasource",
        severity=Severity.FAIL,
        subject=Subject.CLOUD_INIT,
        why="Proxmox's cloud-init drive is read only by NoCloud or ConfigDrive; a list without them ignores it",
        fix="`echo 'datasource_list: [NoCloud, ConfigDrive, None]' > /etc/cloud/cloud.cfg.d/99_datasource.cfg`",
        find=find_datasource,
        profiles=MACHINES,
    ),
    Check(
        id="ds-identify-policy",
        severity=Severity.WARN,
        subject=Subject.CLOUD_INIT,
        why="a clone without its drive runs cloud-init with no data and reports success, or never looks for the drive",
        fix="`rm -f /etc/cloud/ds-identify.cfg`",
        find=find_detection_policy,
        profiles=MACHINES,
    ),
)
