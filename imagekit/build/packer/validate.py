"""What Packer thinks of a template before a build: its diagnostics, one readable problem each."""

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from imagekit.build.packer.machine_readable import LineReader, Said
from imagekit.build.packer.mask import Masker
from imagekit.build.packer.room import open_room
from imagekit.build.packer.tool import PackerTool
from imagekit.errors import DefinitionInvalid, ImagekitError, ToolFailed, ToolMissing
from imagekit.host import Completed, run
from imagekit.machine.serial import clean_text

_SECONDS = 300.0
_LONGEST = 800
_UNFORMATTED = 3
_HEAD = re.compile(r"^(Error|Warning): (.*)$", re.MULTILINE)
_PLACE = re.compile(r"^  on (.+?) line (\d+)[^\n]*:$", re.MULTILINE)
_SOURCE = re.compile(r"^ *(?:\d+: .*|\(source code not available\))$\n?", re.MULTILINE)
# Diagnostics about the operator's tools; everything else is about the template.
_TOOLS = ("Missing plugins", "Unsupported Packer Core version", "Failed to discover installed plugins")


@dataclass(frozen=True, slots=True)
class Diagnostic:
    """One thing that Packer said of a template; ``line`` is 0 when it named no place."""

    error: bool
    summary: str
    detail: str
    file: str
    line: int

    def describe(self) -> str:
        """Return one line: place, summary, detail."""
        place = f"{self.file}:{self.line}: " if self.line else ""
        return f"{place}{self.summary}{f': {self.detail}' if self.detail else ''}"[:_LONGEST]


def validate_template(
    tool: PackerTool,
    directory: Path,
    *,
    var_files: Sequence[Path] = (),
    secrets: Mapping[str, str] | None = None,
    environment: Mapping[str, str] | None = None,
    only: str = "",
    workspace: Path,
    syntax_only: bool = False,
) -> tuple[str, ...]:
    """Have Packer check the template in ``directory`` and return its warnings.

    ``secrets`` maps variables to values, which go by the environment. ``syntax_only`` needs no plugins, files or
    values. Raises :class:`DefinitionInvalid` with every error that Packer names, :class:`ToolMissing` when the
    template asks for another Packer or for plugins that are not there, and :class:`ToolFailed`.
    """
    values = dict(environment or {}) | name_secrets(secrets or {})
    options = ["-syntax-only"] if syntax_only else list_options(var_files, only)
    said = _run_packer(tool, ["-machine-readable", "validate", *options, "."], directory, workspace, values)
    masker = Masker(values.values())
    found = list(read_diagnostics(masker.mask(_join_said(said.output)), directory))
    raise_diagnostics(found, directory, tool)
    if said.status != 0:
        raise ToolFailed(
            f"packer validate ended with status {said.status}", detail=masker.mask(clean_text(said.errors))[-2000:]
        )
    return tuple(one.describe() for one in found)


def check_format(tool: PackerTool, directory: Path, workspace: Path) -> tuple[str, ...]:
    """Return the files of ``directory`` that ``packer fmt`` would change.

    Raises :class:`DefinitionInvalid` when one of them does not parse, and :class:`ToolFailed`.
    """
    said = _run_packer(tool, ["fmt", "-check", "-recursive", "."], directory, workspace, {})
    text = clean_text(said.output.decode(errors="replace"))
    if said.status not in (0, _UNFORMATTED):
        raise_diagnostics(list(read_diagnostics(text, directory)), directory, tool)
        raise ToolFailed(f"packer fmt ended with status {said.status}", detail=clean_text(said.errors)[-2000:])
    return tuple(line for line in text.splitlines() if line.strip())


def list_options(var_files: Sequence[Path], only: str) -> list[str]:
    """Return the options that ``validate`` and ``build`` share; paths become absolute, as Packer runs elsewhere."""
    chosen = [f"-only={only}"] if only else []
    return [*chosen, *(f"-var-file={os.fspath(path.absolute())}" for path in var_files)]


def name_secrets(secrets: Mapping[str, str]) -> dict[str, str]:
    """Return the environment that gives Packer the values of variables."""
    return {f"PKR_VAR_{name}": value for name, value in secrets.items()}


def read_diagnostics(text: str, directory: Path) -> Iterator[Diagnostic]:
    """Yield the diagnostics in what Packer said; text that has none of their form is one error by itself.

    The form is that of hcl.NewDiagnosticTextWriter, wrapped at 80 columns: ``Error: summary``, ``on FILE line N``, the
    line itself, and a detail.
    """
    heads = list(_HEAD.finditer(text))
    if before := _flatten(text[: heads[0].start()] if heads else text):
        yield Diagnostic(True, before[:_LONGEST], "", "", 0)
    ends = [*(head.start() for head in heads[1:]), len(text)][: len(heads)]
    for head, end in zip(heads, ends, strict=True):
        rest = text[head.end() : end]
        place = _PLACE.search(rest)
        if place is not None:
            rest = rest[: place.start()] + _SOURCE.sub("", rest[place.end() :])
        name = os.fspath(directory / place[1]) if place is not None else ""
        # A long summary is wrapped as well: what follows it without an empty line belongs to it.
        more, _, detail = rest.partition("\n\n")
        summary = _flatten(f"{head[2]} {more}")
        yield Diagnostic(head[1] == "Error", summary, _flatten(detail), name, int(place[2]) if place else 0)


def raise_diagnostics(found: Sequence[Diagnostic], directory: Path, tool: PackerTool) -> None:
    """Raise the error that ``found`` amounts to; warnings are none, but for an ``only`` that names no source."""
    errors = [one for one in found if one.error or "'only' option was passed" in one.summary]
    if not errors:
        return
    if missing := next((one for one in errors if one.summary.startswith(_TOOLS)), None):
        raise _explain_tools(missing, directory, tool)
    raise DefinitionInvalid(
        f"Packer does not accept the template in {directory}", problems=[one.describe() for one in errors]
    )


def _explain_tools(missing: Diagnostic, directory: Path, tool: PackerTool) -> ImagekitError:
    path = f"PACKER_PLUGIN_PATH={tool.plugin_directory} " if tool.plugin_directory else ""
    return ToolMissing(
        f"Packer {tool.version}: {missing.describe()}",
        hint=f"run `{path}{tool.program} init {directory}`, or name another Packer or plugin directory in the settings",
    )


def _run_packer(
    tool: PackerTool, words: list[str], directory: Path, workspace: Path, values: Mapping[str, str]
) -> Completed:
    if not directory.is_dir():
        raise DefinitionInvalid(f"the template directory {directory} is not there")
    with open_room(workspace) as temporary:
        environment = dict(values) | tool.environment(temporary, tool.cache or workspace)
        argv = [os.fspath(tool.program), *words]
        return run(argv, environment=environment, directory=directory, check=False, timeout=_SECONDS)


def _join_said(output: bytes) -> str:
    """Return the text of all messages but the last word of a validation that found nothing."""
    reader = LineReader()
    texts = [one.text for one in (*reader.feed(output), *reader.close()) if isinstance(one, Said)]
    closing = ("The configuration is valid.", "Syntax-only check passed. Everything looks okay.")
    return clean_text("\n".join(text for text in texts if text not in closing))


def _flatten(text: str) -> str:
    """Return wrapped paragraphs as one line; the items of a list are kept apart."""
    return " ".join(text.replace("\n* ", "; ").replace("\n\t* ", "; ").split())
