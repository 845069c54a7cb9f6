"""What is seen over SSH is what is seen in a directory: for every dirt, and in few round trips."""

import contextlib
import os
from dataclasses import replace
from pathlib import Path

import pytest

from imagekit.errors import ImageDamaged
from imagekit.report import Severity
from imagekit.verify import CannotSee, Policy, Profile, Seen, View, list_checks, verify_directory
from imagekit.verify.check import Check, Subject
from imagekit.verify.directory_view import open_directory_view
from imagekit.verify.ssh.rounds import MOST_ROUNDS
from imagekit.verify.view import fact
from tests.verify.dirty import TREE_DIRT
from tests.verify.dirty.change import Dirt
from tests.verify.ssh.collected import Machine, verify_collected

_CHECKS = {check.id: check for check in list_checks()}


def _ask(check: Check, view: View, policy: Policy) -> tuple[list[Seen], str]:
    """Return what a check saw and why it could not see more."""
    seen: list[Seen] = []
    try:
        seen.extend(check.find(view, policy))
    except (CannotSee, ImageDamaged) as problem:
        return seen, type(problem).__name__
    return seen, ""


@pytest.mark.parametrize("dirt", TREE_DIRT, ids=str)
def test_dirt_is_seen_as_in_a_directory(dirt: Dirt, tree: Path) -> None:
    """The dirt's check sees over SSH exactly what it sees in the directory."""
    dirt.change(tree)
    check = _CHECKS[dirt.check]
    machine = Machine(tree)
    collected = _ask(check, machine.collect(dirt.policy, (check,)), dirt.policy)
    with open_directory_view(tree) as view:
        assert collected == _ask(check, view, dirt.policy)
    assert machine.rounds < MOST_ROUNDS


@pytest.mark.parametrize("profile", Profile)
def test_clean_tree_is_judged_as_a_directory(profile: Profile, clean_tree: Path) -> None:
    """All checks of a profile come to the same verdicts over SSH, apart from the reason why a disk is not seen."""
    policy = Policy(profile=profile)
    collected, direct = verify_collected(clean_tree, policy), verify_directory(clean_tree, policy)
    assert collected.findings == direct.findings
    assert collected.passed == direct.passed
    assert [each.check for each in collected.not_observed] == [each.check for each in direct.not_observed]


def _make_check(find: object) -> Check:
    return Check("probe", Severity.FAIL, Subject.TRACES, "why", "fix", find)  # type: ignore[arg-type] # a test's own


def test_whole_run_takes_few_round_trips(clean_tree: Path) -> None:
    """All checks together need no more than six exchanges, two of them before the first check."""
    machine = Machine(clean_tree)
    machine.collect(Policy())
    assert machine.rounds <= 6


def test_chain_of_reads_ends_with_the_budget(tmp_path: Path) -> None:
    """A check that needs one file to find the next is not observed when the round trips are used up."""
    (tmp_path / "data").mkdir()
    for number in range(30):
        folder = tmp_path / "data" / f"d{number}"
        folder.mkdir()
        (folder / "next").write_text(f"/data/d{number + 1}/next\n" + "#" * 70_000)

    def find(view: View, policy: Policy) -> object:
        path = "/data/d0/next"
        while (text := view.text(path)) is not None:
            path = text.split("\n")[0]
        yield Seen(path, "the end")

    check = _make_check(find)
    machine = Machine(tmp_path)
    view = machine.collect(Policy(), (check,))
    assert machine.rounds == MOST_ROUNDS
    with pytest.raises(CannotSee, match="more than 12 round trips"):
        list(check.find(view, Policy()))


def test_fact_from_guesses_is_not_remembered(tmp_path: Path) -> None:
    """A fact that was worked out before its file had come is worked out again, an exception too."""
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "file").write_text("word\n")
    asked = 0

    @fact
    def read_word(view: View) -> str:
        nonlocal asked
        asked += 1
        text = view.text("/data/file")
        if not text:
            raise CannotSee("no word")
        return text.strip()

    def find(view: View, policy: Policy) -> object:
        yield Seen("/data/file", read_word(view))

    first, second = _make_check(find), _make_check(lambda view, policy: find(view, policy))
    view = Machine(tmp_path).collect(Policy(), (first, second))
    assert [seen.found for check in (first, second) for seen in check.find(view, Policy())] == ["word", "word"]
    # Twice on guesses, once when it was there, once in the real run.
    assert asked == 4


def test_links_are_resolved_here(tmp_path: Path) -> None:
    """Absolute and relative links lead inside the tree, whatever the machine around it has at the same place."""
    (tmp_path / "data" / "deep").mkdir(parents=True)
    (tmp_path / "data" / "deep" / "file").write_text("inside")
    (tmp_path / "absolute").symlink_to("/data/deep")
    (tmp_path / "up").symlink_to("../../../../data/deep/file")
    (tmp_path / "loop").symlink_to("loop")

    def find(view: View, policy: Policy) -> object:
        for path in ("/absolute/file", "/up", "/data/../data/deep/./file", "/absolute/absent"):
            yield Seen(path, str(view.text(path)))

    check = _make_check(find)
    view = Machine(tmp_path).collect(Policy(), (check,))
    assert [seen.found for seen in check.find(view, Policy())] == ["inside", "inside", "inside", "None"]
    with pytest.raises(ImageDamaged, match="symbolic links"):
        view.text("/loop")


def test_names_that_are_no_text_arrive(tmp_path: Path) -> None:
    """Any bytes in a name and in a link's text are carried unchanged."""
    folder, name = os.fsdecode(b"d\xff\xe4\n"), os.fsdecode(b"\xc3\xa4\x01")
    (tmp_path / folder).mkdir()
    (tmp_path / folder / name).write_bytes(bytes(range(256)))
    (tmp_path / "link").symlink_to(f"{folder}/{name}")

    def find(view: View, policy: Policy) -> object:
        yield Seen(view.tree.resolve("/link") or "", repr(view.tree.read("/link")))

    check = _make_check(find)
    (seen,) = check.find(Machine(tmp_path).collect(Policy(), (check,)), Policy())
    assert seen.path == f"/{folder}/{name}"
    assert seen.found == repr(bytes(range(256)))


def test_devices_and_pipes_are_never_opened(tmp_path: Path) -> None:
    """A FIFO is described; nobody waits for a writer."""
    (tmp_path / "etc").mkdir()
    os.mkfifo(tmp_path / "etc" / "pipe")

    def find(view: View, policy: Policy) -> object:
        yield Seen("/etc/pipe", repr(view.tree.read("/etc/pipe")))
        yield Seen("/etc/pipe", view.tree.lstat("/etc/pipe").type.value)  # type: ignore[union-attr] # it exists

    check = _make_check(find)
    seen = check.find(Machine(tmp_path).collect(Policy(), (check,)), Policy())
    assert [each.found for each in seen] == ["None", "other"]


def test_large_file_is_not_dragged_over(tmp_path: Path) -> None:
    """A check that wants more than 16 MiB of one file is told so, and its first bytes are still to be had."""
    with (tmp_path / "large").open("wb") as file:
        file.truncate(40 << 20)

    def find(view: View, policy: Policy) -> object:
        yield Seen("/large", str(len(view.tree.read("/large", 4096) or b"")))
        view.tree.read("/large", 30 << 20)

    check = _make_check(find)
    view = Machine(tmp_path).collect(Policy(), (check,))
    finding = check.find(view, Policy())
    assert next(finding).found == "4096"
    with pytest.raises(CannotSee, match="too large"):
        next(finding)


def test_more_bytes_than_a_run_may_take_are_not_read(tmp_path: Path) -> None:
    """Many files together are bounded as well: those beyond 64 MiB are not observed."""
    (tmp_path / "many").mkdir()
    for number in range(8):
        with (tmp_path / "many" / f"f{number}").open("wb") as file:
            file.truncate(12 << 20)

    def find(view: View, policy: Policy) -> object:
        for path, _ in view.children("/many"):
            yield Seen(path, str(len(view.tree.read(path, 13 << 20) or b"")))

    check = _make_check(find)
    finding = check.find(Machine(tmp_path).collect(Policy(), (check,)), Policy())
    seen: list[Seen] = []
    with pytest.raises(CannotSee, match="more than 64 MiB"):
        seen.extend(finding)


@pytest.mark.parametrize(
    ("filesystem", "said"),
    [("tmpfs", ""), ("proc", ""), ("nfs4", "on another filesystem"), ("autofs", "on another filesystem")],
)
def test_mounts_of_a_running_machine(filesystem: str, said: str, tmp_path: Path) -> None:
    """What is in memory is empty, as it is when the machine is off; what is elsewhere is not looked at."""
    (tmp_path / "mnt" / "inside").mkdir(parents=True)
    (tmp_path / "mnt" / "file").write_text("text")

    def find(view: View, policy: Policy) -> object:
        yield Seen("/mnt", ",".join(view.tree.names("/mnt")))
        yield Seen("/mnt", str(view.text("/mnt/file")))

    check = _make_check(find)
    machine = Machine(tmp_path, [["/mnt", filesystem]])
    seen = check.find(machine.collect(Policy(), (check,)), Policy())
    if said:
        with pytest.raises(CannotSee, match=said):
            list(seen)
    else:
        assert [each.found for each in seen] == ["", "None"]


def test_file_with_something_mounted_over_is_not_seen(tmp_path: Path) -> None:
    """A machine-id that lies over the real one says nothing about the disk."""
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc" / "machine-id").write_text("0123456789abcdef0123456789abcdef\n")
    check = _CHECKS["machine-id"]
    view = Machine(tmp_path, [["/etc/machine-id", "tmpfs"]]).collect(Policy(), (check,))
    with pytest.raises(CannotSee, match="mounted over /etc/machine-id"):
        list(check.find(view, Policy()))


def test_collector_is_bounded_in_entries(tmp_path: Path) -> None:
    """A tree with more entries than one answer holds is fetched in several."""
    for number in range(40):
        folder = tmp_path / "home" / "someone" / "a" / "b" / f"d{number}"
        folder.mkdir(parents=True)
        for inner in range(5):
            (folder / f"f{inner}").touch()

    def find(view: View, policy: Policy) -> object:
        yield Seen("/home", str(sum(1 for _ in view.files_below("/home"))))

    check = _make_check(find)
    machine = Machine(tmp_path)
    answer = machine.answer

    def stingy(request: bytes) -> bytes:
        return answer(request.replace(b'"entries": 150000', b'"entries": 90'))

    with contextlib.ExitStack() as stack:
        monkeypatch = stack.enter_context(pytest.MonkeyPatch.context())
        monkeypatch.setattr(machine, "answer", stingy)
        view = machine.collect(Policy(), (check,))
    assert [seen.found for seen in check.find(view, Policy())] == ["200"]
    assert 2 < machine.rounds <= MOST_ROUNDS


def test_policy_of_the_run_is_that_of_the_rehearsal(tree: Path) -> None:
    """A check that looks elsewhere under another profile finds its files there too."""
    for profile in Profile:
        policy = replace(Policy(), profile=profile)
        report = verify_collected(tree, policy)
        assert not [each for each in report.not_observed if "nothing asked for it before" in each.reason]
