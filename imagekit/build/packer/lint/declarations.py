"""Rules about variables, plugins and builds: what the template says about itself."""

from collections.abc import Iterator
from fnmatch import fnmatchcase

from imagekit.build.packer.lint.rule import TEMPLATE, Case, Finding, Level, Rule, Subject
from imagekit.build.packer.lint.versions import find_lowest, is_readable
from imagekit.definition.problems import quote, suggest

_FIRST_PROXMOX = (1, 2, 2)
_PLUGIN_OF = {"proxmox-iso": "proxmox", "proxmox-clone": "proxmox", "qemu": "qemu"}


def _first_file(case: Case) -> str:
    return case.template.files[0]


def find_unused_variables(case: Case) -> Iterator[Finding]:
    """Yield variables that nothing mentions."""
    for variable in case.template.variables.values():
        if variable.name not in case.template.references:
            yield Finding(variable.file, variable.line, f"var.{variable.name}", "nothing mentions it")


def find_undeclared_variables(case: Case) -> Iterator[Finding]:
    """Yield names of variables that are not declared."""
    for name, (file, line) in case.template.references.items():
        if name not in case.template.variables:
            meant = suggest(name, case.template.variables)
            yield Finding(file, line, f"var.{name}", "not declared", f"did you mean var.{meant}?" if meant else "")


def find_undeclared_values(case: Case) -> Iterator[Finding]:
    """Yield values for variables that are not declared."""
    for name in case.given:
        if name not in case.template.variables:
            meant = suggest(name, case.template.variables)
            fix = f"did you mean {meant}?" if meant else ""
            yield Finding(_first_file(case), 1, f"var.{name}", "a value for a variable that is not declared", fix)


def find_missing_plugins(case: Case) -> Iterator[Finding]:
    """Yield sources whose plugin nobody asks for."""
    asked = {plugin.source.rsplit("/", 1)[-1] for plugin in case.template.required_plugins.values()}
    told: set[str] = set()
    for source in case.template.builds:
        plugin = _PLUGIN_OF.get(source.kind)
        if plugin is not None and plugin not in asked | told:
            told.add(plugin)
            yield Finding(source.block.file, source.block.line, source.full_name, f"{plugin} is not required")


def find_loose_plugins(case: Case) -> Iterator[Finding]:
    """Yield constraints that an old proxmox plugin meets."""
    for plugin in case.template.required_plugins.values():
        if plugin.source.endswith("/proxmox") and find_lowest(plugin.constraint) < _FIRST_PROXMOX:
            found = f"version {quote(plugin.constraint)}" if plugin.constraint else "no version"
            yield Finding(plugin.file, plugin.line, f"required_plugins.{plugin.name}", found)


def find_strange_constraints(case: Case) -> Iterator[Finding]:
    """Yield constraints on versions that are none."""
    for plugin in case.template.required_plugins.values():
        if plugin.constraint and not is_readable(plugin.constraint):
            found = f"version {quote(plugin.constraint)}"
            yield Finding(plugin.file, plugin.line, f"required_plugins.{plugin.name}", found)


def find_no_version(case: Case) -> Iterator[Finding]:
    """Yield templates that any Packer may build."""
    constraint = case.template.required_version
    if constraint is None or find_lowest(constraint) < (1, 7, 0):
        found = "no required_version" if constraint is None else f"required_version {quote(constraint)}"
        yield Finding(_first_file(case), 1, "packer", found)


def find_no_build(case: Case) -> Iterator[Finding]:
    """Yield templates that build nothing."""
    if not case.template.build_blocks:
        yield Finding(_first_file(case), 1, "build", "no block build")


def matches_only(only: str, name: str) -> bool:
    """Say whether ``-only`` names a build; it is a list of patterns, as Packer's own ``-only`` is."""
    return any(fnmatchcase(name, pattern.strip()) for pattern in only.split(","))


def find_empty_only(case: Case) -> Iterator[Finding]:
    """Yield patterns that name no build."""
    names = [source.full_name for source in case.template.builds]
    for pattern in (part.strip() for part in case.only.split(",")) if case.only else ():
        if not any(fnmatchcase(name, pattern) for name in names):
            meant = suggest(pattern, names)
            fix = f"did you mean {meant}?" if meant else f"one of {', '.join(names)}" if names else ""
            yield Finding(_first_file(case), 1, "only", f"{quote(pattern)} names no build", fix)


def find_idle_sources(case: Case) -> Iterator[Finding]:
    """Yield sources that no build takes."""
    built = {(source.block.file, source.block.line) for source in case.template.builds}
    for source in case.template.sources:
        if case.template.build_blocks and (source.block.file, source.block.line) not in built:
            yield Finding(source.block.file, source.block.line, source.full_name, "no build names it")


RULES = (
    Rule(
        "only-names-nothing", Level.ERROR, Subject.PLUGINS, TEMPLATE, find_empty_only,
        "Packer validates it without a word and then ends: no builds to run", "the name of a build, as TYPE.NAME",
    ),
    Rule(
        "no-build", Level.ERROR, Subject.PLUGINS, TEMPLATE, find_no_build,
        "Packer validates it without a word and then ends: missing build block",
        'add build { sources = ["source.TYPE.NAME"] }',
    ),
    Rule(
        "idle-source", Level.WARNING, Subject.PLUGINS, TEMPLATE, find_idle_sources,
        "it is never built, and nobody looks at it", "name it in a build, or remove it",
    ),
    Rule(
        "plugin-not-required", Level.WARNING, Subject.PLUGINS, TEMPLATE, find_missing_plugins,
        "packer init installs nothing, and any plugin that happens to be there is taken",
        "name it under packer { required_plugins { … } } with source and version",
    ),
    Rule(
        "plugin-version", Level.WARNING, Subject.PLUGINS, TEMPLATE, find_loose_plugins,
        "plugins before 1.2.2 lack boot_iso, tags and cloud_init_disk_type", 'version = ">= 1.2.2"',
    ),
    Rule(
        "version-form", Level.ERROR, Subject.PLUGINS, TEMPLATE, find_strange_constraints,
        "Packer refuses the template", 'version = ">= 1.2.2", or "~> 1.2"',
    ),
    Rule(
        "required-version", Level.WARNING, Subject.PLUGINS, TEMPLATE, find_no_version,
        "an old Packer fails with a riddle instead of a sentence", 'required_version = ">= 1.11.0"',
    ),
    Rule(
        "unused-variable", Level.WARNING, Subject.VARIABLES, TEMPLATE, find_unused_variables,
        "whoever sets it believes that something changes", "use it, or remove it",
    ),
    Rule(
        "variable-not-declared", Level.ERROR, Subject.VARIABLES, TEMPLATE, find_undeclared_variables,
        "Packer refuses the template", "declare it: variable \"NAME\" { … }",
    ),
    Rule(
        "value-not-declared", Level.ERROR, Subject.VARIABLES, TEMPLATE, find_undeclared_values,
        "Packer ignores the value, and the build is made with the default", "declare the variable, or remove the value",
    ),
)  # fmt: skip
