"""Every rule can speak: for each id, edits of a clean template that must make it, and nothing else but kin."""

import time
from pathlib import Path

import pytest

from imagekit.build.packer.lint import (
    Level,
    Mistake,
    format_mistake,
    lint_template,
    list_rules,
    render_rules,
)
from imagekit.build.packer.values import UNKNOWN
from tests.build.packer.lint.clean import CLEAN, write_template
from tests.build.packer.lint.trips import TRIPS, Trip

_SECRET = "5ec2e7"  # stands in every template that breaks a rule about secrets


@pytest.mark.parametrize("kind", CLEAN)
def test_clean_template_has_no_mistake(kind: str, tmp_path: Path) -> None:
    """A template as it should be is not complained about, not even by a warning."""
    directory = write_template(tmp_path / "t", CLEAN[kind])
    assert lint_template(directory, values={}, vm_ids=range(9100, 9200)) == ()


@pytest.mark.parametrize("trip", TRIPS, ids=str)
def test_rule_speaks(trip: Trip, tmp_path: Path) -> None:
    """An edit that breaks a rule is told by that rule, with file, line and what to write, and by no other."""
    directory = write_template(tmp_path / "t", trip.write())
    found = lint_template(directory, values=trip.values, only=trip.only, vm_ids=trip.vm_ids)
    lines = [format_mistake(mistake) for mistake in found]
    mistakes = [mistake for mistake in found if mistake.rule == trip.rule]
    assert mistakes, lines
    assert {mistake.rule for mistake in found} - {trip.rule} == set(trip.kin), lines
    for mistake in found:
        assert mistake.file == str(directory / "template.pkr.hcl")
        assert 1 <= mistake.line <= trip.write().count("\n")
        assert mistake.where
        assert mistake.found
        assert mistake.why
        assert mistake.fix
    assert not any("\n" in line or _SECRET in line for line in lines)


def test_every_rule_has_a_trip() -> None:
    """A rule that was never heard does not exist."""
    assert {rule.id for rule in list_rules()} == {trip.rule for trip in TRIPS}


def test_ids_are_unique() -> None:
    """Two rules never share an id."""
    ids = [rule.id for rule in list_rules()]
    assert len(ids) == len(set(ids))


def test_unknown_values_are_never_judged(tmp_path: Path) -> None:
    """What only Packer can compute breaks no rule about its value, whatever the field."""
    text = CLEAN["iso"]
    start = text.index('source "proxmox-iso"')
    head, source = text[:start], text[start : text.index("build {")]
    lines = []
    for line in source.splitlines():
        name, equals, value = line.partition(" = ")
        known = value.strip() in ("{", "<<-EOT") or "#" in line or line.startswith("        ") or '"' in name
        lines.append(line if not equals or known else f"{name}= upper(data.x.y.z)")
    unknown = head + "\n".join(lines) + "\nlocals {\n  used = [var.name, var.token, var.insecure]\n}\n"
    directory = write_template(tmp_path / "t", unknown + text[text.index("build {") :])
    assert lint_template(directory, values={}, vm_ids=range(9100, 9200)) == ()


@pytest.mark.parametrize("kind", CLEAN)
def test_unknown_variables_are_never_judged(kind: str, tmp_path: Path) -> None:
    """A value that arrives by the environment is not judged, nor is the default it replaces."""
    edited = CLEAN[kind].replace("memory               =", "memory               = var.later #")
    edited = edited.replace("machine_type      =", "machine_type      = var.later #")
    edited += 'variable "later" {\n  default = "no machine"\n}\n'
    edited += "locals {\n  later = var.later\n}\n"
    directory = write_template(tmp_path / "t", edited)
    assert lint_template(directory, values={"later": UNKNOWN}) == ()
    assert lint_template(directory, values={"later": 8}) != ()


def test_dynamic_blocks_may_be_there(tmp_path: Path) -> None:
    """A block that a ``dynamic`` one may make is not missed."""
    disk = CLEAN["iso"][CLEAN["iso"].index("  disks {") : CLEAN["iso"].index("  network_adapters {")]
    dynamic = '  dynamic "disks" {\n    for_each = var.name\n    content {\n      type = disks.value\n    }\n  }\n'
    directory = write_template(tmp_path / "t", CLEAN["iso"].replace(disk, dynamic))
    assert lint_template(directory, values={}) == ()


def test_given_values_are_judged(tmp_path: Path) -> None:
    """A mistake in a variable's value is told at the setting that takes it."""
    directory = write_template(tmp_path / "t", CLEAN["qemu"])
    (mistake,) = lint_template(directory, values={"accelerator": "kvn"})
    assert mistake.rule == "qemu-accelerator-value"
    assert "accelerator       = var.accelerator" in CLEAN["qemu"].splitlines()[mistake.line - 1]
    assert mistake.fix == "did you mean kvm?"


def test_sources_that_are_left_out_are_not_judged(tmp_path: Path) -> None:
    """``only`` keeps the mistakes of other sources out."""
    both = CLEAN["iso"].replace('"ovmf"', '"omvf"') + CLEAN["qemu"][CLEAN["qemu"].index('variable "accelerator"') :]
    directory = write_template(tmp_path / "t", both)
    assert lint_template(directory, values={}, only="qemu.template") == ()
    assert [each.rule for each in lint_template(directory, values={}, only="proxmox-*")] == ["bios-value"]


def test_build_may_set_what_the_source_leaves_out(tmp_path: Path) -> None:
    """A source is judged as its build has it, under the name that the build gives it."""
    line = '  task_timeout             = "20m"\n'
    over = 'source "source.proxmox-iso.template" {\n    name = "mine"\n    task_timeout = "30m"\n  }\n'
    text = CLEAN["iso"].replace(line, "").replace('sources = ["source.proxmox-iso.template"]', over)
    directory = write_template(tmp_path / "t", text)
    assert lint_template(directory, values={}, only="proxmox-iso.mine") == ()
    bad = write_template(tmp_path / "u", text.replace('"30m"', '"30s"'))
    assert [each.rule for each in lint_template(bad, values={})] == ["task-timeout"]


def test_secrets_are_never_quoted(tmp_path: Path) -> None:
    """No message has the value of a sensitive variable, even where it breaks a rule."""
    text = CLEAN["iso"].replace('tags                 = "debian', 'tags                 = "${var.token}')
    text = text.replace('"l26"', "var.token")
    directory = write_template(tmp_path / "t", text)
    found = lint_template(directory, values={"token": "canary of a token"})
    assert "os-value" in {mistake.rule for mistake in found}
    assert not any("canary" in format_mistake(mistake) for mistake in found if mistake.rule != "tag-form")


def test_mistake_is_one_line() -> None:
    """A mistake is told with place, level, what was found, why it hurts, what to write, and its rule."""
    mistake = Mistake("a", Level.ERROR, "f.pkr.hcl", 3, "qemu.x: b", "c", "d", "e")
    assert format_mistake(mistake) == "f.pkr.hcl:3: error: qemu.x: b: c; d; e [a]"


@pytest.mark.parametrize(
    ("name", "only", "values"),
    [
        ("qemu", "qemu.template", {}),
        ("proxmox", "proxmox-iso.template", {"iso_file": "local:iso/debian-13.iso", "disk_size": "8G"}),
        ("proxmox", "proxmox-clone.template", {"clone_vm_id": 9000, "vm_id": 9100, "tags": "imagekit;debian"}),
    ],
)
def test_own_templates_have_no_mistake(name: str, only: str, values: dict[str, object]) -> None:
    """The templates that imagekit ships are as they should be."""
    directory = Path(__file__).parents[4] / "packer" / name
    assert lint_template(directory, values=values, only=only, vm_ids=range(9100, 9200)) == ()


def test_lint_is_quick(tmp_path: Path) -> None:
    """Once python-hcl2's grammar is loaded, a template is judged in a fraction of a second."""
    directory = write_template(tmp_path / "t", CLEAN["iso"])
    lint_template(directory, values={})
    start = time.process_time()
    lint_template(directory, values={})
    assert time.process_time() - start < 0.7


def test_page_of_the_rules_is_current() -> None:
    """``docs/packer-lint.md`` is what :func:`render_rules` writes."""
    page = Path(__file__).parents[4] / "docs" / "packer-lint.md"
    assert page.read_text(encoding="utf-8") == render_rules()
