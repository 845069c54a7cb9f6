"""Vagrant's machine-readable lines: what a real one wrote, and what could come instead."""

import pytest

from imagekit.build.vagrant.machine_readable import (
    Fault,
    Line,
    LineReader,
    find_datum,
    find_fault,
    parse_line,
    parse_output,
)
from tests.build.vagrant.stand_in import RECORDED


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("1795309349,builder,state,running", Line("builder", "state", ("running",))),
        ("1795309349,,ui,info,a%!(VAGRANT_COMMA) b\\nc", Line("", "ui", ("info", "a, b\nc"))),
        ("1795309349,builder,action,up,start", Line("builder", "action", ("up", "start"))),
        ("1795309349,,ui,detail,", Line("", "ui", ("detail", ""))),
        ("1795309349,builder,x", Line("builder", "x", ())),
        ("Vagrant failed, at once, early", Line("", "", ("Vagrant failed, at once, early",))),
        ("1795309349,builder", Line("", "", ("1795309349,builder",))),
        ("²,builder,state,running", Line("", "", ("²,builder,state,running",))),
        ("", Line("", "", ("",))),
    ],
)
def test_line_is_read(text: str, line: Line) -> None:
    """A line becomes target, kind and data; what is not Vagrant's stays text."""
    assert parse_line(text) == line


@pytest.mark.parametrize("state", ["not_created", "running", "shutoff"])
def test_recorded_state_is_read(state: str) -> None:
    """The state is the word of the provider, whatever prose stands around it."""
    lines = parse_output((RECORDED / f"status-{state}.txt").read_bytes())
    assert find_datum(lines, "state") == state
    assert find_datum(lines, "provider-name") == "libvirt"
    assert find_fault(lines) is None


@pytest.mark.parametrize(
    ("recording", "name"),
    [
        ("up-no-box", "Vagrant::Errors::BoxAddShortNotFound"),
        ("up-no-network", "VagrantPlugins::ProviderLibvirt::Errors::ActivateNetworkError"),
        ("up-no-plugin", "Vagrant::Errors::ProviderNotFound"),
        ("up-no-pool", "VagrantPlugins::ProviderLibvirt::Errors::NoStoragePool"),
        ("up-not-usable", "Vagrant::Errors::ProviderNotUsable"),
        ("up-provision-failed", "Vagrant::Errors::VagrantError"),
    ],
)
def test_recorded_fault_is_found(recording: str, name: str) -> None:
    """The class of the error that ended Vagrant is known, and its message in full."""
    fault = find_fault(parse_output((RECORDED / f"{recording}.txt").read_bytes()))
    assert fault is not None
    assert fault.name == name
    assert fault.short_name == name.rpartition("::")[2]
    assert "VAGRANT_COMMA" not in fault.message


def test_fault_without_message_is_a_fault() -> None:
    """A class alone is enough."""
    assert find_fault([Line("", "error-exit", ("X",))]) == Fault("X", "")
    assert find_fault([Line("", "error-exit", ())]) is None


def test_stream_is_cut_into_lines() -> None:
    """Bytes arrive in any pieces; the last line needs no newline; bytes that are no UTF-8 do no harm."""
    data = (RECORDED / "up-stopped.txt").read_bytes() + b"1,a,ui,info,\xff"
    reader = LineReader()
    found = [line for index in range(0, len(data), 7) for line in reader.feed(data[index : index + 7])]
    assert [*found, *reader.close()] == parse_output(data)
    assert found[-1].data == ("up", "end")


def test_endless_line_is_cut() -> None:
    """Of a line over 1 MiB the beginning is kept."""
    reader = LineReader()
    assert reader.feed(b"x" * (3 << 20)) == []
    (line,) = reader.feed(b"\n")
    assert len(line.data[0]) == 1 << 20
