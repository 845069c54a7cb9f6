"""Nix's log: recorded ones and a real one, and lines that nobody should write."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imagekit.build.nix.internal_json import BUILDING, DOWNLOADING, EVALUATING, NixLog, name_derivation
from imagekit.build.nix.tool import find_nix, make_build_command
from imagekit.host.here import ThisMachine
from imagekit.progress import Event, silent
from tests.build.nix.recorded_host import read_recorded
from tests.build.nix.tiny_derivations import make_flake
from tests.nix_store import make_own_store


def _hear(*messages: dict[str, object] | str) -> tuple[NixLog, list[Event]]:
    events: list[Event] = []
    log = NixLog(events.append, clock=iter(range(100_000)).__next__)
    for each in messages:
        log.hear(each if isinstance(each, str) else f"@nix {json.dumps(each)}")
    return log, events


def _start(number: int, kind: int, *fields: object, text: str = "") -> dict[str, object]:
    return {"action": "start", "id": number, "level": 3, "type": kind, "text": text, "fields": list(fields)}


def _tell(number: int, kind: int, *fields: object) -> dict[str, object]:
    return {"action": "result", "id": number, "type": kind, "fields": list(fields)}


@pytest.mark.parametrize("version", ["2.8.0", "2.26.3"])
def test_recorded_chain(version: str) -> None:
    """A build of three derivations becomes a bar over three, with their names and the phase of the first."""
    _, events = _hear(*read_recorded(f"chain-{version}.log").decode().splitlines())
    assert events[0].stage == EVALUATING
    building = [event for event in events if event.stage == BUILDING]
    assert [event.done for event in building] == sorted(event.done for event in building)
    assert (building[-1].done, building[-1].total, building[-1].unit) == (3, 3, "derivations")
    names = {event.detail.partition(",")[0] for event in building}
    assert {"first-1.0", "second-2.1-beta", "image-3.0"} <= names
    assert any(event.detail.startswith("first-1.0, buildPhase, ") for event in building)


@pytest.mark.parametrize(("attribute", "status"), [("third", 0), ("broken", 1)])
def test_real_build(tmp_path: Path, attribute: str, status: int) -> None:
    """The real Nix's log is a bar to its end, or gives the error and the end of the failed builder's log."""
    store, flake = make_own_store(tmp_path), make_flake(tmp_path / "flake")
    events: list[Event] = []
    log, host = NixLog(events.append), ThisMachine()
    nix = find_nix(host, store.environment)
    argv = make_build_command(nix, f"path:{flake}#{attribute}")
    done = host.run(argv, environment=nix.environment, on_line=log.hear, check=False)
    assert done.status == status
    if status == 0:
        assert (events[-1].stage, events[-1].done, events[-1].total) == (BUILDING, 3, 3)
        assert log.errors == []
    else:
        assert log.list_log_tail() == ("some work", "boom")
        assert "broken-1.0.drv' failed with exit code 3" in log.errors[0]


def test_log_of_the_named_derivation_is_kept() -> None:
    """Of several builds the log is shown of that one which the error names, the last 25 lines of it."""
    drv = "/nix/store/w3rzaih7m611y5vvn3vfixh23dpky8zg-broken-1.0.drv"
    lines = [_tell(5, 101, f"line {number}") for number in range(300)]
    log, _ = _hear(
        _start(5, 105, drv, "", 1, 1),
        _start(6, 105, drv.replace("broken", "other"), "", 1, 1),
        *lines,
        _tell(6, 101, "all is well"),
        {"action": "stop", "id": 5},
        {"action": "msg", "level": 0, "msg": f"\x1b[31;1merror:\x1b[0m builder for '\x1b[35;1m{drv}\x1b[0m' failed"},
    )
    assert log.list_log_tail() == tuple(f"line {number}" for number in range(275, 300))
    assert log.errors == [f"error: builder for '{drv}' failed"]


def test_downloads_count_bytes() -> None:
    """Until something is built the bar counts what is fetched, by the bytes that Nix expects in all."""
    _, events = _hear(
        _start(1, 102),
        _start(2, 103),
        _tell(1, 106, 100, 4000),
        _start(3, 108, "/nix/store/w3rzaih7m611y5vvn3vfixh23dpky8zg-openssl-3.5.1", "https://cache.example"),
        _start(4, 100, "/nix/store/w3rzaih7m611y5vvn3vfixh23dpky8zg-openssl-3.5.1", "https://cache.example", "local"),
        _tell(4, 105, 1000, 2000, 0, 0),
        _tell(2, 105, 0, 7, 1, 0),
    )
    assert events[-1] == Event(DOWNLOADING, 1000, 4000, "B", "openssl-3.5.1")


def test_finished_downloads_still_count() -> None:
    """What has arrived stays counted when its activity has ended."""
    _, events = _hear(
        _start(1, 102),
        _tell(1, 106, 100, 4000),
        _start(4, 100, "/nix/store/x-a", "", ""),
        _tell(4, 105, 2000, 2000, 0, 0),
        {"action": "stop", "id": 4},
        _start(5, 100, "/nix/store/x-b", "", ""),
        _tell(5, 105, 500, 2000, 0, 0),
    )
    assert (events[-1].done, events[-1].total) == (2500, 4000)


def test_building_stays_the_stage() -> None:
    """Between two builds a download is told as detail; the bar over derivations does not go away."""
    _, events = _hear(
        _start(1, 104),
        _start(2, 105, "/nix/store/x-a.drv", "", 1, 1),
        {"action": "stop", "id": 2},
        _start(3, 100, "/nix/store/x-b", "", ""),
        _tell(3, 105, 1 << 20, 3 << 20, 0, 0),
        _tell(1, 105, 1, 2, 0, 0),
    )
    assert events[-1] == Event(BUILDING, 1, 2, "derivations", "fetched 1.0 MiB of 3.0 MiB")


def test_warnings_become_notes_once() -> None:
    """A warning is told once; what nobody can use, and Nix's hints at its own options, is not told at all."""
    log, events = _hear(
        {"action": "msg", "level": 1, "msg": "warning: something is odd"},
        {"action": "msg", "level": 1, "msg": "warning: something is odd"},
        {"action": "msg", "level": 1, "msg": "warning: Git tree '/home/op/x' is dirty"},
        {"action": "msg", "level": 1, "msg": "warning: 'show-config' is a deprecated alias for 'config show'"},
        {"action": "msg", "level": 0, "msg": "(use '--show-trace' to show detailed location information)"},
        {"action": "msg", "level": 0, "msg": "note: keeping build directory '/tmp/nix-build-x.drv-0'"},
        {"action": "msg", "level": 1, "msg": "Failed to find a machine for remote build!\nderivation: x"},
    )
    assert [event.note for event in events] == ["Nix warns: something is odd"]
    assert log.errors == ["Failed to find a machine for remote build!\nderivation: x"]


def test_other_programs_are_heard() -> None:
    """Lines of ssh and git, which are no JSON, are kept without control characters; half a message is not."""
    log, _ = _hear("ssh: Could not \x1b[31mresolve\x07 nas", "", 'the end of it","raw_msg":"cut"}')
    assert list(log.said) == ["ssh: Could not resolve nas"]


def test_messages_lost_in_the_stream_are_found_at_the_end() -> None:
    """A message that came torn is taken from what was kept of standard error."""
    message = {"action": "msg", "level": 0, "msg": "error: too long"}
    whole = json.dumps(message, separators=(",", ":"))
    log, _ = _hear(whole[30:])
    log.finish(f"noise\n@nix {whole}\n@nix {whole}\n")
    assert log.errors == ["error: too long"]


def test_a_flood_is_bounded() -> None:
    """Long lines, many lines, many activities and many errors leave no more than a bounded rest."""
    log = NixLog(silent, clock=lambda: 0.0)
    messages: tuple[dict[str, object] | str, ...] = (
        *(_start(number, 105, f"/nix/store/x-{number}.drv") for number in range(6000)),
        *(_tell(5999, 101, "x" * 100_000) for _ in range(300)),
        *({"action": "msg", "level": 0, "msg": f"error {number}" + "y" * 100_000} for number in range(300)),
        *("z" * 100_000 for _ in range(100)),
    )
    for each in messages:
        log.hear(each if isinstance(each, str) else f"@nix {json.dumps(each)}")
    assert len(log.errors) == 64
    assert max(map(len, log.errors)) <= 32_000
    assert len(log.said) == 25
    assert max(map(len, log.said)) == 500
    assert (len(log._running), len(log._building), len(log._logs)) == (4096, 4096, 128)
    assert sum(len(kept) for kept in log._logs.values()) == 200


def test_events_are_not_a_flood() -> None:
    """Ten thousand evaluated files are not ten thousand events."""
    events: list[Event] = []
    log = NixLog(events.append, clock=lambda: 0.0)
    for number in range(10_000):
        log.hear(f'@nix {{"action":"msg","level":4,"msg":"evaluating file \'{number}\'"}}')
    assert len(events) == 1


@pytest.mark.parametrize(
    "line",
    [
        "@nix ",
        "@nix {",
        "@nix []",
        "@nix null",
        "@nix " + "[" * 100_000,
        '@nix {"action":"start"}',
        '@nix {"action":"start","id":1,"type":105,"fields":{}}',
        '@nix {"action":"start","id":"1","type":105}',
        '@nix {"action":"result","id":1,"type":105,"fields":[-5,-7]}',
        '@nix {"action":"result","id":1,"type":105,"fields":["a",null]}',
        '@nix {"action":"result","id":1,"type":101,"fields":[null]}',
        '@nix {"action":"msg","level":"0","msg":7}',
        '@nix {"action":"stop","id":99}',
        f'@nix {{"action":"msg","level":0,"msg":"{"a" * (2 << 20)}"}}',
    ],
)
def test_hostile_lines(line: str) -> None:
    """Lines that are no log of Nix's change nothing and raise nothing."""
    log, _ = _hear(_start(1, 104), line)
    assert log.errors == []


@given(
    st.lists(
        st.fixed_dictionaries(
            {"action": st.sampled_from(["start", "stop", "result", "msg"]), "id": st.integers(-1, 3)},
            optional={
                "type": st.integers(99, 112) | st.none(),
                "level": st.integers(-1, 8),
                "msg": st.text(max_size=20),
                "text": st.text(max_size=20),
                "fields": st.lists(st.integers() | st.text(max_size=20) | st.none() | st.booleans(), max_size=5),
            },
        ),
        max_size=40,
    )
)
def test_any_log_gives_sound_events(messages: list[dict[str, object]]) -> None:
    """Whatever order activities come in, counts are never negative and texts hold no control character."""
    events: list[Event] = []
    log = NixLog(events.append)
    for message in messages:
        log.hear(f"@nix {json.dumps(message)}")
    for event in events:
        assert event.done >= 0
        assert event.total >= 0
        assert not any(ord(letter) < 32 for letter in event.detail + event.note)
    NixLog(silent).finish("\n".join(log.errors))


def test_derivations_are_named() -> None:
    """A store path is called by what stands after its hash."""
    assert name_derivation("/nix/store/w3rzaih7m611y5vvn3vfixh23dpky8zg-openssl-3.5.1.drv") == "openssl-3.5.1"
    assert name_derivation("") == ""
