"""cloud-init's static configuration, merged as cloud-init merges it, and whether cloud-init would run at all.

Order (cloud-init ``util.read_conf_with_confd``): ``/etc/cloud/cloud.cfg``, then ``cloud.cfg.d/*.cfg``; the later name
wins, mappings are merged key by key, lists are replaced whole.
"""

from dataclasses import dataclass
from typing import Any, cast

from imagekit.verify.facts.boot_entries import read_arguments
from imagekit.verify.facts.units import find_unit
from imagekit.verify.facts.yaml_text import YamlInvalid, read_yaml
from imagekit.verify.view import CannotSee, View, fact

MAIN_FILE = "/etc/cloud/cloud.cfg"
DIRECTORY = "/etc/cloud/cloud.cfg.d"
MARKER = "/etc/cloud/cloud-init.disabled"
DETECTION = "/etc/cloud/ds-identify.cfg"
_LOCAL = {"NoCloud", "ConfigDrive"}
# cloud-init.service became cloud-init-network.service and gained cloud-init-main.service in 24.3.
_SERVICES = (
    "cloud-init-main.service",
    "cloud-init-local.service",
    "cloud-init.service",
    "cloud-init-network.service",
    "cloud-config.service",
    "cloud-final.service",
)


@dataclass(frozen=True, slots=True)
class ConfigFile:
    """One file of the configuration; ``values`` is empty when ``problem`` says why it could not be used."""

    path: str
    text: str
    values: dict[str, Any]
    problem: str = ""


@dataclass(frozen=True, slots=True)
class CloudConfig:
    """All files in reading order and their merged meaning."""

    files: tuple[ConfigFile, ...]
    merged: dict[str, Any]

    def get(self, *keys: str) -> Any:  # noqa: ANN401 - configuration values have any type
        """Return the merged value under nested ``keys``, or ``None``."""
        value: Any = self.merged
        for key in keys:
            value = value.get(key) if isinstance(value, dict) else None
        return value

    def origin(self, *keys: str) -> str:
        """Return the file whose value under ``keys`` counts; the main file when none sets it."""
        for file in reversed(self.files):
            value: Any = file.values
            for key in keys:
                value = value.get(key) if isinstance(value, dict) else None
            if value is not None:
                return file.path
        return MAIN_FILE


@fact
def read_cloud_config(view: View) -> CloudConfig:
    """Read and merge the configuration; raises :class:`CannotSee` when the image has none."""
    paths = [MAIN_FILE] if view.is_file(MAIN_FILE) else []
    paths += [path for path, _ in view.children(DIRECTORY, ".cfg") if view.is_file(path)]
    if not paths:
        raise CannotSee("the image has no cloud-init configuration")
    files = tuple(_read_file(view, path) for path in paths)
    merged: dict[str, Any] = {}
    for file in files:
        merged = _merge(merged, file.values)
    return CloudConfig(files, merged)


def _read_file(view: View, path: str) -> ConfigFile:
    text = view.text(path, (1 << 20) + 1, head=True) or ""
    try:
        values = read_yaml(text)
    except YamlInvalid as problem:
        return ConfigFile(path, text, {}, str(problem))
    if values is None:
        return ConfigFile(path, text, {})
    if not isinstance(values, dict):
        return ConfigFile(path, text, {}, "not a mapping")
    return ConfigFile(path, text, values)


def _merge(
    below: dict[str, Any], above: dict[str, Any], done: dict[tuple[int, int], dict[str, Any]] | None = None
) -> dict[str, Any]:
    """Merge two mappings; each pair once, since aliases may make one mapping appear a million times in both."""
    done = {} if done is None else done
    pair = id(below), id(above)
    if pair not in done:
        merged = done[pair] = dict(below)
        for key, value in above.items():
            under = merged.get(key)
            nested = isinstance(under, dict) and isinstance(value, dict)
            merged[key] = _merge(cast(dict[str, Any], under), value, done) if nested else value
    return done[pair]


def is_off(value: object) -> bool:
    """Say whether a value switches something off: YAML's false, or one of the words cloud-init takes for it."""
    return value is False or (isinstance(value, str) and value.strip().lower() in ("false", "off", "no", "0"))


def is_on(value: object) -> bool:
    """Say whether a value switches something on (``util.translate_bool``)."""
    return value is True or (isinstance(value, str) and value.strip().lower() in ("true", "on", "yes", "1"))


def list_modules(config: CloudConfig) -> set[str]:
    """Return the names of all modules that run, with ``_`` for ``-``; modules may be written with arguments."""
    names = set()
    for stage in ("cloud_init_modules", "cloud_config_modules", "cloud_final_modules"):
        entries = config.get(stage)
        for entry in entries if isinstance(entries, list) else ():
            name = entry[0] if isinstance(entry, list) and entry else entry
            if isinstance(name, str):
                names.add(name.replace("-", "_"))
    return names


@fact
def is_installed(view: View) -> bool:
    """Say whether the program itself is there."""
    return view.is_file("/usr/bin/cloud-init")


@fact
def read_detection(view: View) -> dict[str, str]:
    """Return ``datasource`` and ``policy`` of ``ds-identify.cfg`` as ds-identify reads them: the last line counts."""
    values = {}
    for line in view.lines(DETECTION):
        key, colon, value = line.partition("#")[0].partition(":")
        if colon and key.strip() in ("datasource", "policy"):
            values[key.strip()] = value.strip().strip("\"'")
    return values


def turns_off(policy: str) -> bool:
    """Say whether a policy of ds-identify keeps cloud-init off whatever is found; the last mode in it counts."""
    modes = [word for word in policy.split(",") if word in ("enabled", "disabled", "search", "report")]
    return modes[-1:] == ["disabled"]


@fact
def find_switches(view: View) -> tuple[tuple[str, str], ...]:
    """Return path and reason of everything that keeps cloud-init from running at boot (ds-identify, its generator)."""
    reasons = []
    if view.tree.lstat(MARKER) is not None:
        reasons.append((MARKER, "the marker file that turns cloud-init off exists"))
    for argument in read_arguments(view):
        if argument.text == "cloud-init=disabled":
            reasons.append((argument.path, "kernel command line has cloud-init=disabled"))
        elif argument.text.startswith("ci.di.policy=") and turns_off(argument.text.partition("=")[2]):
            reasons.append((argument.path, "kernel command line has ci.di.policy=disabled"))
    if turns_off(read_detection(view).get("policy", "")):
        reasons.append((DETECTION, "policy: disabled"))
    for name in (*_SERVICES, "cloud-init.target"):
        unit = find_unit(view, name)
        if unit is None:
            continue
        if unit.masked:
            reasons.append((unit.path, f"{name} is masked"))
        elif name in _SERVICES and unit.installable and not unit.pulled_by:
            reasons.append((unit.path, f"{name} is not enabled"))
    if all(find_unit(view, name) is None for name in _SERVICES):
        reasons.append(("/usr/lib/systemd/system/cloud-init-local.service", "no cloud-init service unit exists"))
    return tuple(reasons)


@fact
def find_datasources(view: View) -> tuple[str, tuple[str, ...] | None]:
    """Return the file and the list of datasources that counts; ``None`` for cloud-init's built-in list of all."""
    config = read_cloud_config(view)
    value = config.get("datasource_list")
    if value is None:
        return MAIN_FILE, None
    names = value if isinstance(value, list) else [value]
    # Whatever else stands there is not written out: a nest of aliases has no end.
    texts = ("None" if name is None else name if isinstance(name, str) else "(no name)" for name in names)
    return config.origin("datasource_list"), tuple(texts)


def reads_local_drive(view: View) -> bool:
    """Say whether the effective list of datasources has one that reads Proxmox's cloud-init drive."""
    _, names = find_datasources(view)
    return names is None or bool(_LOCAL & set(names))


def makes_host_keys(view: View) -> bool:
    """Say whether cloud-init will run on a clone, find its data and run the module that makes host keys."""
    if not is_installed(view) or find_switches(view) or not reads_local_drive(view):
        return False
    return "ssh" in list_modules(read_cloud_config(view))
