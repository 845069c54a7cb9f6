"""The Packer that the operator has: found, its version read, its plugins known.

Packer is under the Business Source License since 1.10, so it is never shipped with imagekit.
"""

import os
import re
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from imagekit.build.packer.plugins import Plugin, check_sum, find_plugin_directory, list_plugins, parse_version
from imagekit.errors import ToolFailed, ToolMissing
from imagekit.host import run

OLDEST = "1.14"
_VERSION = re.compile(r"^Packer v(\d+\.\d+\.\d+)", re.MULTILINE)
_EXTRA_PATH = ("/usr/local/bin", "/usr/local/sbin", "/usr/sbin")
_INSTALL = (
    "run `.ci/setup --packer` in imagekit's source, which builds it from HashiCorp's, or install HashiCorp's package"
    " (developer.hashicorp.com/packer/install); it is licensed under the BUSL, so imagekit cannot bring it"
)


@dataclass(frozen=True, slots=True)
class PackerTool:
    """A Packer that can be used. ``plugins`` maps the source address of each usable plugin to its newest version.

    ``faults`` has a sentence for each plugin that is there and that Packer would pass over. ``cache`` is imagekit's
    cache, where Packer keeps what it downloads.
    """

    program: Path
    version: str
    plugin_directory: Path | None
    plugins: Mapping[str, str]
    cache: Path | None = None
    faults: tuple[str, ...] = field(default=())

    def environment(self, temporary: Path, cache: Path) -> dict[str, str]:
        """Return what Packer's environment holds beside the usual: private places, no network of its own, no colour.

        Each run leaves a ``packer-log*`` in ``temporary``, with secrets; it shall be the run's own directory.
        """
        places = {
            "TMPDIR": os.fspath(temporary),
            "PACKER_CONFIG_DIR": os.fspath(temporary / "config"),
            "PACKER_CACHE_DIR": os.fspath(cache / "packer"),
            "CHECKPOINT_DISABLE": "1",
            "NO_COLOR": "1",
            "PACKER_NO_COLOR": "1",
        }
        return places | ({"PACKER_PLUGIN_PATH": os.fspath(self.plugin_directory)} if self.plugin_directory else {})


def find_packer(program: Path | None, plugins: Path | None, cache: Path) -> PackerTool:
    """Return the Packer of the setting, else the first good one on PATH, else the one that `.ci/packer-tools` made.

    ``plugins`` is the setting of the plugin directory; without it Packer's own rules find it, and for the cached
    Packer the one beside it. Raises :class:`ToolMissing` naming each program that was looked at and why not.
    """
    cached = cache / "packer-tools" / "current"
    passed: list[str] = []
    candidates = [program] if program else [*_list_on_path(), cached / "bin" / "packer"]
    for candidate in candidates:
        if not os.access(candidate, os.X_OK) or not candidate.is_file():
            if program:
                passed.append(f"{candidate} is not a program")
            continue
        version, reason = read_packer_version(candidate)
        if reason:
            passed.append(reason)
            continue
        directory = _choose_plugins(plugins, candidate, cached)
        found = list_plugins(directory) if directory else ()
        return PackerTool(candidate, version, directory, _choose_newest(found), cache, _describe_faults(found))
    if not passed:
        raise ToolMissing("Packer is not installed", hint=_INSTALL)
    raise ToolMissing(f"no usable Packer: {'; '.join(passed)}", hint=_INSTALL)


def read_packer_version(program: Path) -> tuple[str, str]:
    """Return the version that ``program`` tells, and why it cannot be used; the latter is empty when it can.

    cracklib brings a ``packer`` that takes its argument for the name of a dictionary to write, so the question is
    asked in an empty directory.
    """
    with tempfile.TemporaryDirectory(prefix="imagekit-") as directory:
        asked = {"CHECKPOINT_DISABLE": "1", "TMPDIR": directory, "PACKER_CONFIG_DIR": directory, "NO_COLOR": "1"}
        try:
            said = run(
                [os.fspath(program), "version"], environment=asked, directory=Path(directory), check=False, timeout=20
            )
        except ToolFailed:
            return "", f"{program} does not answer"
    match = _VERSION.search(said.output.decode(errors="replace"))
    if match is None:
        return "", f"{program} is another program of that name, not HashiCorp's Packer"
    if parse_version(match[1]) < parse_version(OLDEST):
        return match[1], f"{program} is Packer {match[1]}, and {OLDEST} or later is needed"
    return match[1], ""


def require_plugins(tool: PackerTool, needed: Mapping[str, str]) -> None:
    """Raise :class:`ToolMissing` for plugins that ``tool`` lacks, has too old, or would ignore; all of them at once.

    ``needed`` maps source addresses to the oldest version that will do. The binaries are read once, for their sums.
    """
    found = list_plugins(tool.plugin_directory) if tool.plugin_directory else ()
    problems: dict[str, str] = {}
    for source, oldest in needed.items():
        if reason := _find_problem([one for one in found if one.source == source], oldest):
            problems[source] = f"Packer's plugin {source} {reason}"
    if problems:
        lines = [explain_plugin_install(tool, source, needed[source]) for source in problems]
        hint = "\n".join(["install it with:" if len(lines) == 1 else "install them with:", *lines])
        raise ToolMissing("; ".join(problems.values()), hint=f"{hint}\nor `packer init` in the template's directory")


def explain_plugin_install(tool: PackerTool, source: str, oldest: str) -> str:
    """Return the command that installs a plugin, at least ``oldest``, where this Packer looks for it."""
    where = f"PACKER_PLUGIN_PATH={tool.plugin_directory} " if tool.plugin_directory else ""
    return f"{where}{tool.program} plugins install {source} '>= {oldest}'"


def describe_packer(tool: PackerTool) -> dict[str, str]:
    """Return what a person may want to know of ``tool``, as names and values: program, version, plugins, faults."""
    described = {"packer": f"{tool.version} ({tool.program})", "plugin directory": str(tool.plugin_directory or "none")}
    described |= dict(sorted(tool.plugins.items()))
    return described | ({"passed over": "; ".join(tool.faults)} if tool.faults else {})


def _find_problem(installed: list[Plugin], oldest: str) -> str:
    """Return what is wrong with the plugin of which ``installed`` are all versions; empty when one will do."""
    reasons = []
    for plugin in installed:
        if parse_version(plugin.version) < parse_version(oldest):
            reasons.append(f"is {plugin.version}, and {oldest} or later is needed")
        elif fault := check_sum(plugin):
            reasons.append(f"{plugin.version} cannot be used: {fault}")
        else:
            return ""
    return reasons[0] if reasons else "is not installed"


def _choose_newest(found: tuple[Plugin, ...]) -> dict[str, str]:
    newest: dict[str, str] = {}
    for plugin in found:
        if not plugin.fault:
            newest.setdefault(plugin.source, plugin.version)
    return newest


def _describe_faults(found: tuple[Plugin, ...]) -> tuple[str, ...]:
    return tuple(f"plugin {one.source} {one.version}: {one.fault}" for one in found if one.fault)


def _choose_plugins(setting: Path | None, program: Path, cached: Path) -> Path | None:
    """Return the plugin directory: setting, environment, the cached Packer's own, the user's, the cached one last."""
    if setting:
        return setting
    if os.environ.get("PACKER_PLUGIN_PATH"):
        return find_plugin_directory()
    own, users = cached / "plugins", find_plugin_directory()
    order = (own, users) if program == cached / "bin" / "packer" else (users, own)
    return next((one for one in order if one and list_plugins(one)), users)


def _list_on_path() -> Iterator[Path]:
    """Yield each ``packer`` on PATH: the first may be cracklib's, and HashiCorp's behind it."""
    for directory in dict.fromkeys([*os.environ.get("PATH", os.defpath).split(os.pathsep), *_EXTRA_PATH]):
        candidate = Path(directory or ".") / "packer"
        if candidate.is_file():
            yield candidate.absolute()
