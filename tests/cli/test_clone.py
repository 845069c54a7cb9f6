"""clone: clones are made, listed and removed here without booting; what is printed can be pasted."""

import os
import shlex
from pathlib import Path

import pytest

from imagekit.host import run
from imagekit.settings import read_settings
from imagekit.store import Store
from tests.cli.conftest import Program


@pytest.fixture(autouse=True)
def emulation(monkeypatch: pytest.MonkeyPatch) -> None:
    """Decide how machines run, so that nothing is probed."""
    monkeypatch.setenv("IMAGEKIT_ACCELERATOR", "tcg")


def test_clone_is_made_of_stable(program: Program, store: Store) -> None:
    """A bare name means the stable version; name, ssh command and port are printed, one to a line."""
    said = program("clone", "template", "web-1", "--local", "--no-start")
    name, command, port = said.output.splitlines()
    assert said.errors == ""
    assert name == "web-1"
    assert shlex.split(command)[0] == "ssh"
    assert shlex.split(command)[-1] == "debian@127.0.0.1"
    assert port == f"port {shlex.split(command)[shlex.split(command).index('-p') + 1]}"
    (one,) = program("clone", "--local", "--list", "--json").json()["clones"]
    assert (one["name"], one["state"], one["reference"]) == ("web-1", "stopped", "template@20260706-1")
    assert one["ssh"] == command


def test_clone_of_an_image_without_stable_is_the_newest(program: Program, store: Store) -> None:
    """While nothing is stable, a bare name means the newest version."""
    document = program("clone", "pihole", "dns", "--local", "--no-start", "--json").json()
    assert document["reference"] == "pihole@20260708-1"
    assert document["pid"] is None


def test_list_and_remove(program: Program, store: Store) -> None:
    """Clones are listed in a table; removing asks first, and says what it did on standard error."""
    assert program("clone", "--local", "--list").output == ""
    assert program("clone", "--local", "--list", "--json").json()["clones"] == []
    program("clone", "template", "one", "--local", "--no-start")
    program("clone", "template@candidate", "two", "--local", "--no-start")
    header, one, two = program("clone", "--local", "--list").output.splitlines()
    assert header.split() == ["NAME", "STATE", "VERSION", "PORT", "SSH"]
    assert one.split()[:3] == ["one", "stopped", "template@20260706-1"]
    assert two.split()[:3] == ["two", "stopped", "template@20260707-1"]
    said = program("clone", "--local", "--remove", "one", "--yes")
    assert (said.output, said.errors) == ("", "one is removed\n")
    assert program("clone", "--local", "--remove", "two", "--yes", "--json").json()["state"] == "removed"
    assert program("clone", "--local", "--list").output == ""


def test_remove_without_an_answer_removes_nothing(
    program: Program, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where nobody can answer the question, the clone stays and the run counts as interrupted."""
    program("clone", "template", "one", "--local", "--no-start")
    with open(os.devnull) as nobody:  # noqa: PTH123 - a device
        monkeypatch.setattr("sys.stdin", nobody)
        said = program("clone", "--local", "--remove", "one", status=130)
    assert said.output == ""
    assert "Delete clone one of template@20260706-1 with its disk?" in said.errors
    assert len(program("clone", "--local", "--list", "--json").json()["clones"]) == 1


def test_stop_of_a_stopped_clone_is_no_error(program: Program, store: Store) -> None:
    """Stopping twice is the same as stopping once."""
    program("clone", "template", "one", "--local", "--no-start")
    assert program("clone", "--local", "--stop", "one").errors == "one is stopped\n"
    assert program("clone", "--local", "--stop", "one", "--json").json()["state"] == "stopped"


def test_name_is_given_once(program: Program, store: Store) -> None:
    """A second clone of the same name is refused, and the first is not touched."""
    first = program("clone", "template", "one", "--local", "--no-start", "--json").json()
    assert "there is already a clone one" in program("clone", "template", "one", "--local", status=7).errors
    assert program("clone", "--local", "--list", "--json").json()["clones"] == [
        {key: value for key, value in first.items() if key != "schema_version"}
    ]


def test_own_key_replaces_the_made_one(program: Program, store: Store, tmp_path: Path) -> None:
    """With ``--ssh-key`` no key is made; comments and empty lines of the file are passed over."""
    run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", os.fspath(tmp_path / "key")])
    keys = tmp_path / "authorized_keys"
    keys.write_text(f"# mine\n\n{(tmp_path / 'key.pub').read_text()}")
    document = program(
        *("clone", "template", "one", "--local", "--no-start", "--json", "--ssh-key", os.fspath(keys))
    ).json()
    assert "-i" not in shlex.split(document["ssh"])
    assert not list((read_settings({}).clones / "one").glob("id_*"))


@pytest.mark.parametrize("which", ["key", "text"])
def test_private_key_is_never_copied(program: Program, store: Store, tmp_path: Path, which: str) -> None:
    """A private key given by mistake, or any other file, is refused, not shown, and no clone is made."""
    run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", os.fspath(tmp_path / "key")])
    (tmp_path / "text").write_text("secret words\n")
    given = os.fspath(tmp_path / which)
    said = program("clone", "template", "one", "--local", "--no-start", "--ssh-key", given, status=2)
    assert "--ssh-key" in said.errors
    assert "secret" not in said.errors
    assert "OPENSSH" not in said.errors
    assert program("clone", "--local", "--list").output == ""


def test_interrupted_wait_stops_the_clone(program: Program, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C while a clone boots stops it, keeps it, says how to start it again, and ends with 130."""
    stopped: list[str] = []

    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("imagekit.deliver.local.start_clone", lambda clone, **_: clone)
    monkeypatch.setattr("imagekit.deliver.local.wait_until_up", interrupt)
    monkeypatch.setattr("imagekit.deliver.local.stop_clone", lambda clone, patience: stopped.append(clone.name))
    said = program("clone", "template", "one", "--local", status=130)
    assert said.output == ""
    assert "one is stopped; imagekit clone --local --start one\n" in said.errors
    assert stopped == ["one"]
    assert len(program("clone", "--local", "--list", "--json").json()["clones"]) == 1


def test_started_clone_is_told_when_it_is_up(program: Program, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is printed after a start is the same as without one, and only once the clone was proven up."""
    steps: list[str] = []
    monkeypatch.setattr("imagekit.deliver.local.start_clone", lambda clone, **_: clone)
    monkeypatch.setattr("imagekit.deliver.local.wait_until_up", lambda clone, **_: steps.append(clone.name))
    said = program("clone", "template", "one", "--local")
    assert steps == ["one"]
    assert program("clone", "--local", "--start", "one").output == said.output
    assert steps == ["one", "one"]
