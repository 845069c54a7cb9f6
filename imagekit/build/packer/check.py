"""Everything that can be known to be wrong before minutes are spent: our lint, then Packer's own validation."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from imagekit.build.packer.lint import Level, format_mistake, lint_template
from imagekit.build.packer.tool import PackerTool
from imagekit.build.packer.validate import validate_template
from imagekit.errors import DefinitionInvalid

# What Packer says of a disk that was made a moment ago and digested by nobody yet.
_EXPECTED = ("A checksum of 'none' was specified",)


def check_template(
    tool: PackerTool,
    directory: Path,
    values: Mapping[str, object],
    var_files: Sequence[Path],
    *,
    workspace: Path,
    secrets: Mapping[str, str] | None = None,
    environment: Mapping[str, str] | None = None,
    only: str = "",
    vm_ids: range | None = None,
) -> tuple[str, ...]:
    """Judge the template in ``directory`` with these values and return what is worth a warning, a line each.

    Raises :class:`DefinitionInvalid` with every mistake that the lint finds, else with every one that Packer does, and
    what :func:`validate_template` raises.
    """
    mistakes = lint_template(directory, values=values, only=only, vm_ids=vm_ids)
    if errors := [format_mistake(one) for one in mistakes if one.level is Level.ERROR]:
        raise DefinitionInvalid(
            f"the Packer template in {directory} would fail late or make a bad template",
            problems=errors,
            hint="docs/packer-lint.md explains each rule",
        )
    said = validate_template(
        tool, directory, var_files=var_files, secrets=secrets, environment=environment, only=only, workspace=workspace
    )
    warnings = [format_mistake(one) for one in mistakes if one.level is Level.WARNING]
    return (*warnings, *(line for line in said if not any(known in line for known in _EXPECTED)))
