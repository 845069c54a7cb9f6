"""A directory of a Packer template as values: its sources as they will be built, variables, locals, plugins.

What a setting comes to is computed where it is a literal, a variable, a local or a string made of those; everything
else (functions, conditions, data sources) is :data:`UNKNOWN`. Packer's own order holds for variables: the given values,
then ``*.auto.pkrvars.*`` beside the template, then defaults (packer docs, "Input Variables and local variables").
"""

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType

from imagekit.build.packer import hcl
from imagekit.build.packer.compute import Scope
from imagekit.build.packer.hcl import BlockSyntax, Body, Computed, Expression, Reference
from imagekit.build.packer.values import UNKNOWN, Block, Setting, Value, convert_value, freeze_value
from imagekit.errors import DefinitionInvalid

_MAX_FILES = 64
_MAX_TOTAL = 256 * 1024


@dataclass(frozen=True, slots=True)
class Source:
    """A source as one build has it: its own block with what the build says on top; ``build`` is the build's name."""

    kind: str
    name: str
    block: Block
    build: str = ""

    @property
    def full_name(self) -> str:
        """The name that ``-only`` knows it by."""
        return f"{self.build}.{self.kind}.{self.name}" if self.build else f"{self.kind}.{self.name}"


@dataclass(frozen=True, slots=True)
class Variable:
    """A declared variable; ``default`` is ``None`` as well when there is none, see ``required``."""

    name: str
    file: str
    line: int
    default: Value
    required: bool
    sensitive: bool
    kind: str  # string, number, bool, or empty for anything more


@dataclass(frozen=True, slots=True)
class RequiredPlugin:
    """A plugin under ``required_plugins`` and the versions that it may have, such as ``>= 1.2.2``."""

    name: str
    constraint: str
    source: str
    file: str
    line: int


@dataclass(frozen=True, slots=True)
class Template:
    """What a template's directory says; ``sources`` are declared ones, ``builds`` those that are built."""

    files: tuple[str, ...]
    sources: tuple[Source, ...]
    builds: tuple[Source, ...]
    build_blocks: int
    variables: Mapping[str, Variable]
    locals: Mapping[str, Value]
    required_plugins: Mapping[str, RequiredPlugin]
    required_version: str | None
    references: Mapping[str, tuple[str, int]]  # each ``var.x`` that is mentioned, with the first place
    directory: Path


def read_template(directory: Path, values: Mapping[str, object]) -> Template:
    """Read the template in ``directory`` with these values of its variables (what a JSON variable file holds).

    A value may be :data:`UNKNOWN`, for what arrives by the environment. Raises :class:`DefinitionInvalid` with file and
    line when it does not parse, is too large, or is not there.
    """
    reader = _Reader(directory)
    for path in _list_files(directory, (".pkr.hcl", ".pkr.json")):
        reader.read_file(path)
    if not reader.files:
        raise DefinitionInvalid(
            f"{directory} holds no Packer template", hint="a template is made of files named *.pkr.hcl or *.pkr.json"
        )
    given: dict[str, Value] = {}
    for path in _list_files(directory, (".auto.pkrvars.hcl", ".auto.pkrvars.json")):
        given.update(reader.read_values(path))
    given.update({name: freeze_value(value) for name, value in values.items()})
    return reader.finish(given)


def _list_files(directory: Path, endings: tuple[str, ...]) -> list[Path]:
    try:
        names = sorted(path.name for path in directory.iterdir() if path.name.endswith(endings))
    except OSError as problem:
        raise DefinitionInvalid(f"{directory} cannot be read as a template: {problem.strerror}") from None
    if len(names) > _MAX_FILES:
        raise DefinitionInvalid(f"{directory} has {len(names)} files; a template of more than {_MAX_FILES} is not read")
    return [directory / name for name in names]


class _Reader:
    """Gathers the files of one directory, then computes what they say together."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self.files: list[str] = []
        self._total = 0
        self._bodies: list[tuple[str, Body]] = []

    def read_file(self, path: Path) -> None:
        text = self._read_text(path)
        file = os.fspath(path)
        if path.name.endswith(".json"):
            from imagekit.build.packer.json_syntax import read_json_body

            self._bodies.append((file, read_json_body(hcl.parse_json(text, file))))
        else:
            self._bodies.append((file, hcl.parse_hcl(text, file)))
        self.files.append(file)

    def read_values(self, path: Path) -> dict[str, Value]:
        text = self._read_text(path)
        file = os.fspath(path)
        scope = Scope({}, {}, self._directory)
        if path.name.endswith(".json"):
            return {str(scope.compute(key)): scope.compute(value) for key, value, _ in hcl.parse_json(text, file).items}
        attributes = hcl.parse_hcl(text, file).attributes
        return {name: scope.compute(attribute.expression) for name, attribute in attributes.items()}

    def _read_text(self, path: Path) -> str:
        try:
            if not path.is_file():  # a FIFO would never end
                raise DefinitionInvalid(f"{path} is not a file")
            with path.open("rb") as file:
                content = file.read(hcl.MAX_FILE + 1)
            self._total += len(content)
            if len(content) > hcl.MAX_FILE or self._total > _MAX_TOTAL:
                raise DefinitionInvalid(
                    f"{path} is too large for a template",
                    hint=f"{hcl.MAX_FILE // 1024} KiB for one file and {_MAX_TOTAL // 1024} KiB for all are read",
                )
            return content.decode("utf-8")
        except UnicodeDecodeError:
            raise DefinitionInvalid(f"{path} is not UTF-8 text") from None
        except OSError as problem:
            raise DefinitionInvalid(f"{path} cannot be read: {problem.strerror}") from None

    def finish(self, given: Mapping[str, Value]) -> Template:
        top = [(file, block) for file, body in self._bodies for block in body.blocks]
        declared = {
            block.labels[0]: (file, block) for file, block in top if block.kind == "variable" and len(block.labels) == 1
        }
        variables = {name: _read_variable(name, file, block) for name, (file, block) in declared.items()}
        known = {name: _settle(variable, given) for name, variable in variables.items()}
        expressions: dict[str, Expression] = {}
        for _, block in top:
            if block.kind == "locals":
                expressions.update({name: each.expression for name, each in block.body.attributes.items()})
            elif block.kind == "local" and block.labels:
                attribute = block.body.attributes.get("expression")
                expressions[block.labels[0]] = attribute.expression if attribute else Computed(())
        scope = Scope(known, expressions, self._directory)
        sources = tuple(
            Source(block.labels[0], block.labels[1], _read_block(block, file, scope))
            for file, block in top
            if block.kind == "source" and len(block.labels) == 2
        )
        builds = [_read_block(block, file, scope) for file, block in top if block.kind == "build"]
        plugins, version = _read_requirements([_read_block(b, file, scope) for file, b in top if b.kind == "packer"])
        return Template(
            files=tuple(self.files),
            sources=sources,
            builds=tuple(source for build in builds for source in _list_built(build, sources)),
            build_blocks=len(builds),
            variables=MappingProxyType(variables),
            locals=MappingProxyType({name: scope.compute(each) for name, each in expressions.items()}),
            required_plugins=MappingProxyType(plugins),
            required_version=version,
            references=MappingProxyType(_list_mentions(self._bodies)),
            directory=self._directory,
        )


def _read_block(syntax: BlockSyntax, file: str, scope: Scope) -> Block:
    settings = {
        name: Setting(
            scope.compute(each.expression),
            file,
            each.line,
            scope.list_variables(each.expression),
            scope.is_written(each.expression),
        )
        for name, each in syntax.body.attributes.items()
    }
    blocks = tuple(_read_block(block, file, scope) for block in syntax.body.blocks if block.kind != "dynamic")
    dynamic = frozenset(block.labels[0] for block in syntax.body.blocks if block.kind == "dynamic" and block.labels)
    return Block(syntax.kind, syntax.labels, file, syntax.line, MappingProxyType(settings), blocks, dynamic)


def _read_variable(name: str, file: str, syntax: BlockSyntax) -> Variable:
    block = _read_block(syntax, file, Scope({}, {}, Path()))
    kind = syntax.body.attributes.get("type")
    plain = kind.expression.path[0] if kind is not None and isinstance(kind.expression, Reference) else ""
    default = block.settings.get("default")
    return Variable(
        name,
        file,
        syntax.line,
        convert_value(default.value, plain) if default is not None else None,
        default is None,
        block.read_flag("sensitive", False) is True,
        plain if plain in ("string", "number", "bool") else "",
    )


def _settle(variable: Variable, given: Mapping[str, Value]) -> Value:
    if variable.name in given:
        return convert_value(given[variable.name], variable.kind)
    # A secret that nobody gave comes from the environment: its default says nothing about it.
    return UNKNOWN if variable.required or variable.sensitive else variable.default


def _read_requirements(blocks: list[Block]) -> tuple[dict[str, RequiredPlugin], str | None]:
    plugins: dict[str, RequiredPlugin] = {}
    version: str | None = None
    for block in blocks:
        version = block.read_text("required_version") or version
        for inner in block.list_blocks("required_plugins"):
            for name, setting in inner.settings.items():
                says = setting.value if isinstance(setting.value, Mapping) else {"version": setting.value}
                constraint, source = says.get("version"), says.get("source")
                plugins[name] = RequiredPlugin(
                    name,
                    constraint if isinstance(constraint, str) else "",
                    source if isinstance(source, str) else "",
                    setting.file,
                    setting.line,
                )
    return plugins, version


def _list_built(build: Block, sources: tuple[Source, ...]) -> Iterator[Source]:
    """Yield the sources of a build with what its own ``source`` blocks say on top."""
    declared = {f"{source.kind}.{source.name}": source for source in sources}
    name = build.read_text("name", "") or ""
    for text in build.read_texts("sources") or ():
        found = declared.get(text.removeprefix("source."))
        if found is not None:
            yield replace(found, build=name)
    for over in build.list_blocks("source"):
        found = declared.get(over.labels[0].removeprefix("source.")) if over.labels else None
        if found is not None:
            merged = replace(
                found.block,
                settings=MappingProxyType({**found.block.settings, **over.settings}),
                blocks=(*found.block.blocks, *over.blocks),
                dynamic=found.block.dynamic | over.dynamic,
            )
            yield replace(found, build=name, name=over.read_text("name", found.name) or found.name, block=merged)


def _list_mentions(bodies: list[tuple[str, Body]]) -> dict[str, tuple[str, int]]:
    mentions: dict[str, tuple[str, int]] = {}

    def walk(body: Body, file: str) -> None:
        for attribute in body.attributes.values():
            for reference in hcl.list_references(attribute.expression):
                if reference.path[0] == "var" and len(reference.path) > 1:
                    mentions.setdefault(reference.path[1], (file, attribute.line))
        for block in body.blocks:
            walk(block.body, file)

    for file, body in bodies:
        for block in body.blocks:
            if block.kind != "variable":  # a variable's own conditions do not use it
                walk(block.body, file)
    return mentions
