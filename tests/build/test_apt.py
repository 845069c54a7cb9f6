"""The private apt, over a repository of two tiny packages."""

import os
import stat
from pathlib import Path

import pytest

from imagekit.build.apt import (
    AptRoom,
    fetch_packages,
    open_room,
    package_name,
    plan_packages,
    read_build_time,
    read_machine_options,
    take_supplies,
    update_lists,
)
from imagekit.build.apt_sources import AptSource
from imagekit.errors import DefinitionInvalid, ExitCode, HostFailed, ToolFailed
from imagekit.progress import Event, silent
from tests.build.conftest import EPOCH, make_package


def test_plan_and_fetch(room: AptRoom, tmp_path: Path) -> None:
    """The plan has the dependencies; the files come once, with progress, and are linked for the build."""
    update_lists(room)
    plan = plan_packages(room, ["tool"])
    assert [package.file for package in plan] == ["library_1%3a2.0-1_all.deb", "tool_1%3a2.0-1_all.deb"]
    events: list[Event] = []
    fetch_packages(room, plan, ["tool"], events.append)
    total = sum(package.size for package in plan)
    assert events[0] == Event("fetching packages", 0, total, "B", "2 of 2")
    assert all(event.done <= total for event in events)
    again: list[Event] = []
    fetch_packages(room, plan, ["tool"], again.append)
    assert again == []
    assert plan_packages(room, ["tool"]) == plan  # what is in the cache is still planned
    build = tmp_path / "build"
    build.mkdir()
    supplies = take_supplies(room, plan, build)
    assert sorted(path.name for path in supplies.packages.iterdir()) == [package.file for package in plan]
    assert (supplies.packages / plan[0].file).samefile(room.archives / plan[0].file)
    assert any(path.name.endswith("Packages") for path in supplies.lists.iterdir())
    assert stat.S_IMODE(supplies.sources_list.stat().st_mode) == 0o600


def test_fetch_needs_only_what_is_missing(room: AptRoom) -> None:
    """After one file is lost only that one is fetched again."""
    update_lists(room)
    plan = plan_packages(room, ["tool"])
    fetch_packages(room, plan, ["tool"], silent)
    (room.archives / plan[0].file).unlink()
    events: list[Event] = []
    fetch_packages(room, plan, ["tool"], events.append)
    assert events[0].detail == "1 of 2"
    assert (room.archives / plan[0].file).stat().st_size == plan[0].size


def test_damaged_package_is_refused(repository: Path, room: AptRoom) -> None:
    """A file that is not what the index says never enters the cache."""
    update_lists(room)
    plan = plan_packages(room, ["library"])
    file = repository / "library_2.0-1_all.deb"
    whole = file.read_bytes()
    try:
        file.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
        with pytest.raises((HostFailed, ToolFailed)):
            fetch_packages(room, plan, ["library"], silent)
    finally:
        file.write_bytes(whole)
    assert not (room.archives / plan[0].file).exists()


def test_unknown_packages_are_named(room: AptRoom) -> None:
    """Every package that does not exist is named at once, as a mistake of the definition."""
    update_lists(room)
    with pytest.raises(DefinitionInvalid) as caught:
        plan_packages(room, ["tool", "no-such-thing", "nor-this"])
    assert caught.value.exit_code == ExitCode.DEFINITION
    assert caught.value.message == "Debian has no package 'no-such-thing', 'nor-this'"


def test_mirror_out_of_reach(tmp_path: Path) -> None:
    """No network is the host's failure; the mirror's password is in no message."""
    source = AptSource("http://someone:hunter2@127.0.0.1:9/debian", "bookworm", ("main",))
    room = open_room(tmp_path, "bookworm", "amd64", (source,))
    with room.configuration.open("a") as file:
        file.write('Acquire::Retries "0";\n#clear Acquire::http::Proxy;\n')
    with pytest.raises(HostFailed) as caught:
        update_lists(room)
    assert caught.value.exit_code == ExitCode.HOST
    assert "packages cannot be fetched" in caught.value.message
    assert "127.0.0.1" in caught.value.message
    cause = caught.value.__cause__
    assert isinstance(cause, ToolFailed)
    assert "hunter2" not in caught.value.message + cause.message + cause.detail


def test_unsigned_mirror_is_refused(repository: Path, tmp_path: Path) -> None:
    """Without a signature by Debian's keys nothing is taken, whatever the machine's own options say."""
    room = open_room(tmp_path, "test", "amd64", (AptSource(f"copy:{repository}", "./", ()),))
    with pytest.raises(HostFailed, match="signature cannot be verified"):
        update_lists(room)


def test_room_is_closed_to_others(tmp_path: Path) -> None:
    """Sources and proxies may hold passwords, so only this user may enter, whatever the umask."""
    before = os.umask(0)
    try:
        room = open_room(tmp_path, "bookworm", "amd64", ())
    finally:
        os.umask(before)
    assert stat.S_IMODE(room.directory.stat().st_mode) == 0o700
    assert stat.S_IMODE(room.configuration.stat().st_mode) == 0o600


def test_machine_options_are_filtered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Proxies and time-outs are carried, also from the operator's APT_CONFIG; what runs a program is not."""
    configuration = tmp_path / "apt.conf"
    configuration.write_text(
        'acquire::http::Proxy "http://proxy.example:3128";\n'
        'Acquire::http::Proxy::mirror.example "DIRECT";\n'
        'Acquire::http::Proxy-Auto-Detect "/usr/bin/anything";\n'
        'Acquire::https::ProxyAutoDetect "/usr/bin/anything";\n'
        'Acquire::https::Timeout "7";\n'
        'APT::Update::Pre-Invoke { "touch /tmp/never"; };\n'
        'DPkg::Post-Invoke { "touch /tmp/never"; };\n'
    )
    monkeypatch.setenv("APT_CONFIG", os.fspath(configuration))
    options = "\n".join(read_machine_options())
    assert "http://proxy.example:3128" in options
    assert 'mirror.example "DIRECT"' in options
    assert 'Timeout "7"' in options
    assert "anything" not in options
    assert "Invoke" not in options


def test_room_ignores_the_operators_apt_config(room: AptRoom, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An APT_CONFIG with hooks does not reach apt in the room."""
    hooks = tmp_path / "hooks.conf"
    hooks.write_text(f'APT::Update::Pre-Invoke {{ "touch {tmp_path}/ran"; }};\n')
    monkeypatch.setenv("APT_CONFIG", os.fspath(hooks))
    update_lists(room)
    assert not (tmp_path / "ran").exists()
    assert any("Packages" in path.name for path in room.lists.iterdir())


def test_file_names_are_split() -> None:
    """A package file's name holds name, version with its epoch, and architecture."""
    assert package_name("libcap2_1%3a2.66-4+deb12u3+b1_amd64.deb") == ("libcap2", "1:2.66-4+deb12u3+b1", "amd64")


def test_build_time_is_the_archives(tmp_path: Path) -> None:
    """The time in the first member's header is the package's own; other files have none."""
    assert read_build_time(make_package(tmp_path, "dated", epoch=EPOCH + 5)) == EPOCH + 5
    (tmp_path / "other").write_bytes(b"!<arch>\nshort")
    assert read_build_time(tmp_path / "other") == 0
