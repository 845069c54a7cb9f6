"""Every rule over a template, and the rules as the page that documents them."""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from imagekit.build.packer.lint import (
    boot_command,
    boot_order,
    choices,
    cloud_init,
    credentials,
    declarations,
    defaults,
    disks,
    firmware,
    hardware,
    identity,
    media,
    network,
    qemu,
    qemu_args,
    structure,
    timing,
)
from imagekit.build.packer.lint.declarations import matches_only
from imagekit.build.packer.lint.rule import ANY, CLONE, ISO, QEMU, Case, Level, Mistake, Rule, Subject
from imagekit.build.packer.template import Source, Template, read_template
from imagekit.build.packer.values import Block

_RULES: tuple[Rule, ...] = tuple(
    rule
    for module in (
        structure, declarations, credentials, identity, firmware, hardware, disks, media, cloud_init, network, timing,
        boot_command, boot_order, qemu, qemu_args, choices, defaults,
    )
    for rule in module.RULES
)  # fmt: skip
_MOST = 500  # mistakes that are told of one template
_NO_SOURCE = Source("", "", Block("source", (), "", 1))
_LETTERS = {"i": ISO, "c": CLONE, "q": QEMU}


def list_rules() -> tuple[Rule, ...]:
    """Return every rule, by subject in the order of the documentation."""
    order = list(Subject)
    return tuple(sorted(_RULES, key=lambda rule: order.index(rule.subject)))


def lint_template(
    directory: Path, *, values: Mapping[str, object], only: str = "", vm_ids: range | None = None
) -> tuple[Mistake, ...]:
    """Return every mistake of the template in ``directory``, by file and line.

    ``values`` is what Packer gets as a variable file; a value may be ``UNKNOWN``, and a sensitive variable without one
    is taken for that. ``only`` is Packer's ``-only``: sources that it leaves out are not judged. ``vm_ids`` are the
    numbers that builds may use. A value that is not known is never judged. Raises :class:`DefinitionInvalid` when the
    template does not parse.
    """
    template = read_template(directory, values)
    found: dict[tuple[str, str, int, str, str], Mistake] = {}
    for case in _list_cases(template, values, only, vm_ids):
        for rule in _RULES:
            about_whole = not rule.kinds
            if about_whole != (case.source is _NO_SOURCE) or not (about_whole or case.source.kind in rule.kinds):
                continue
            for finding in rule.find(case):
                # the same source in two builds is one mistake
                key = (rule.id, finding.file, finding.line, finding.where, finding.found)
                found[key] = Mistake(
                    rule.id, rule.level, finding.file, finding.line, finding.where, finding.found, rule.why,
                    finding.fix or rule.fix,
                )  # fmt: skip
                if len(found) == _MOST:
                    return _sort(found.values())
    return _sort(found.values())


def _sort(mistakes: Iterable[Mistake]) -> tuple[Mistake, ...]:
    return tuple(sorted(mistakes, key=lambda mistake: (mistake.file, mistake.line, mistake.rule)))


def _list_cases(template: Template, values: Mapping[str, object], only: str, vm_ids: range | None) -> Iterator[Case]:
    yield Case(template, _NO_SOURCE, only, vm_ids, values)
    for source in template.builds if template.build_blocks else template.sources:
        if source.kind in ANY and (not only or matches_only(only, source.full_name)):
            yield Case(template, source, only, vm_ids, values)


def format_mistake(mistake: Mistake) -> str:
    """Return a mistake as one line."""
    place = f"{mistake.file}:{mistake.line}"
    said = f"{mistake.where}: {mistake.found}; {mistake.why}; {mistake.fix}"
    line = f"{place}: {mistake.level.value}: {said} [{mistake.rule}]"
    return "".join(character if character.isprintable() else "\ufffd" for character in line)


def render_rules() -> str:
    """Return the rules as Markdown, a table for each subject."""
    rules = list_rules()
    errors = sum(rule.level is Level.ERROR for rule in rules)
    lines = [
        "# The lint of Packer templates",
        "",
        f"`imagekit build` judges a Packer template by these {len(rules)} rules before Packer starts: {errors} errors,",
        f"which stop the build (exit code 3), and {len(rules) - errors} warnings. All mistakes are told at once, each",
        "with file and line. What only Packer, the environment or the cluster knows is never judged. A letter says",
        "for which sources a rule is: **i** proxmox-iso, **c** proxmox-clone, **q** qemu; without one it is for the",
        "template as a whole. Ids never change their meaning. A test keeps this page current.",
    ]
    for subject in Subject:
        lines += [
            "",
            f"## {subject.value}",
            "",
            "| id | level | for | why | instead |",
            "| --- | --- | --- | --- | --- |",
        ]
        for rule in rules:
            if rule.subject is subject:
                letters = "".join(letter for letter, kinds in _LETTERS.items() if kinds <= rule.kinds)
                cells = (f"`{rule.id}`", rule.level.value, letters, _quote(rule.why), _quote(rule.fix))
                lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _quote(text: str) -> str:
    """Return text for a cell of a table: what stands in backticks stays code, the rest has no marks."""
    parts = text.split("`")
    marks = str.maketrans({character: f"\\{character}" for character in "\\*_<>|#~"})
    return "`".join(part.replace("|", "\\|") if at % 2 else part.translate(marks) for at, part in enumerate(parts))
