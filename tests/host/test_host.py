"""The two kinds of host do the same: every test runs on this machine and through a real SSH server on loopback."""

import hashlib
import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from imagekit.errors import HostFailed, Refused, ToolFailed, ToolMissing
from imagekit.host.here import ThisMachine
from imagekit.host.host import Host
from imagekit.host.openssh import open_openssh
from tests.sshd import ALIAS, Sshd


@pytest.fixture(params=["here", "openssh"])
def host(request: pytest.FixtureRequest, server: Sshd) -> Iterator[Host]:
    """Each kind of host in turn."""
    if request.param == "here":
        yield ThisMachine()
        return
    with open_openssh(ALIAS, config=server.config) as opened:
        yield opened


def test_output_errors_and_status_come_apart(host: Host) -> None:
    """What a program prints is bytes, what it says on standard error is text, and its status is its own."""
    said = host.run(["sh", "-c", "printf 'a\\0b'; echo oops >&2; exit 3"], check=False)
    assert (said.output, said.errors, said.status) == (b"a\0b", "oops\n", 3)


@pytest.mark.parametrize("status", [1, 127, 254, 255])
def test_every_status_is_the_programs_own(host: Host, status: int) -> None:
    """Not even ssh's own statuses are mistaken for a lost connection or a missing program."""
    assert host.run(["sh", "-c", f"exit {status}"], check=False).status == status


def test_failure_is_told_with_the_last_words(host: Host) -> None:
    """A status other than 0 is an error with the end of what the program said."""
    with pytest.raises(ToolFailed, match="sh failed with status 7") as caught:
        host.run(["sh", "-c", "echo because >&2; exit 7"])
    assert caught.value.detail == "because"


def test_missing_program_is_told(host: Host) -> None:
    """A program that is not there is no status, and finding it finds nothing."""
    with pytest.raises(ToolMissing, match="nonesuch is not installed"):
        host.run(["nonesuch", "x"])
    assert host.find_program("nonesuch") == ""


def test_arguments_and_variables_arrive_as_they_are(host: Host) -> None:
    """No shell on the way reads an argument or a value, whatever is in it."""
    nasty = [
        "",
        " ",
        "a b",
        "$(id)",
        "`id`",
        "'",
        '"',
        "\\",
        "\\n",
        "!x",
        "*",
        "-n",
        "ü",
        "a\nb",
        "~",
        ";",
        "{a,b}",
        "#",
    ]
    assert host.run(["printf", "<%s>", *nasty]).output.decode() == "".join(f"<{each}>" for each in nasty)
    for value in nasty:
        said = host.run(["sh", "-c", 'printf %s "$VALUE"'], environment={"VALUE": value})
        assert said.output.decode() == value


def test_input_arrives_whole_and_ends(host: Host) -> None:
    """A program reads exactly the bytes it is given, then the end; without any it reads the end at once."""
    data = os.urandom(3_000_000)
    assert host.run(["cat"], stdin=data).output == data
    assert host.run(["cat"]).output == b""
    assert host.run(["true"], stdin=data).status == 0  # it does not have to read them


def test_lines_are_heard_as_they_come(host: Host) -> None:
    """Each line of standard error is heard while the program runs, a very long one and the last without an end too."""
    heard: list[tuple[str, float]] = []
    program = "echo one >&2; sleep 1; head -c 600000 /dev/zero | tr '\\0' x >&2; echo >&2; printf last >&2; exit 255"
    host.run(["sh", "-c", program], on_line=lambda line: heard.append((line, time.monotonic())), check=False)
    assert [line for line, _ in heard if line] == ["one", "x" * 600000, "last"]
    assert heard[-1][1] - heard[0][1] > 0.7


def test_large_output_is_whole_or_an_error(host: Host) -> None:
    """Megabytes arrive whole; more than the limit is an error, never a silent cut."""
    assert len(host.run(["head", "-c", "20000000", "/dev/zero"]).output) == 20_000_000
    with pytest.raises((ToolFailed, HostFailed), match="more than"):
        host.run(["head", "-c", "140000000", "/dev/zero"])


def test_timeout_ends_the_program(host: Host, tmp_path: Path) -> None:
    """A program that does not end in time is ended with its children, wherever it runs."""
    began = time.monotonic()
    with pytest.raises(ToolFailed, match=r"did not end within 0\.5 s"):
        host.run(["sh", "-c", f"(sleep 2; touch {tmp_path}/lived) & sleep 60"], timeout=0.5)
    assert time.monotonic() - began < 5
    time.sleep(2)
    assert not (tmp_path / "lived").exists()


def test_programs_are_found_by_absolute_path(host: Host) -> None:
    """A found program is a path that runs; root's programs are found too."""
    found = host.find_program("sh")
    assert found.startswith("/")
    assert host.run([found, "-c", "echo yes"]).output == b"yes\n"
    assert host.find_program(found) == found
    assert host.find_program("/etc/passwd") == ""
    assert host.find_program("sshd").endswith("/sbin/sshd")


def test_programs_of_nix_are_found(host: Host, server: Sshd) -> None:
    """What is in a Nix profile of the user is found and run, though a login's PATH does not have it."""
    home = Path(host.run(["sh", "-c", 'printf %s "$HOME"']).output.decode())
    program = home / ".nix-profile" / "bin" / "imagekit-probe"
    program.parent.mkdir(parents=True, exist_ok=True)
    program.write_text("#!/bin/sh\necho probed\n")
    program.chmod(0o755)
    assert host.find_program("imagekit-probe") == str(program)
    assert host.run(["imagekit-probe"]).output == b"probed\n"


def test_directory_is_fresh_private_and_removable(host: Host) -> None:
    """A made directory is empty and the user's alone; it can be removed, also with read-only parts, and only it can."""
    first, second = host.make_directory(), host.make_directory()
    assert first != second
    assert (Path(first).stat().st_mode & 0o777, list(Path(first).iterdir())) == (0o700, [])
    assert Path(first).parent.parts[-2:] == ("imagekit", "builds")
    (Path(first) / "a" / "b").mkdir(parents=True)
    (Path(first) / "a").chmod(0o555)
    host.remove_directory(first)
    assert not Path(first).exists()
    for other in (str(Path(second).parent), "/", first, f"{second}/../x"):
        with pytest.raises(Refused, match="not a directory that imagekit made"):
            host.remove_directory(other)
    host.remove_directory(second)


def test_old_directories_are_swept(host: Host) -> None:
    """A directory of a crash three days ago goes when the next is made; younger and foreign ones stay."""
    there = host.make_directory()
    made = Path(there)
    old, young, foreign = (made.parent / name for name in ("build-old", "build-young", "mine"))
    for each, days in ((old, 3), (young, 1), (foreign, 9)):
        each.mkdir()
        (each / "file").touch()
        os.utime(each, (time.time() - days * 86400,) * 2)
    again = host.make_directory()
    assert (old.exists(), young.exists(), foreign.exists()) == (False, True, True)
    assert made.exists()
    host.remove_directory(there)
    host.remove_directory(again)
    for each in (young, foreign):
        (each / "file").unlink()
        each.rmdir()


def test_tree_arrives_as_it_is(host: Host, tmp_path: Path) -> None:
    """Files, empty directories, bits for execution, inner links and odd names arrive; an old file is replaced."""
    source = tmp_path / "source"
    (source / "deep" / "empty").mkdir(parents=True)
    (source / "-n ü\n'x").write_bytes(b"odd")
    (source / "deep" / "run").write_bytes(b"#!/bin/sh\n")
    (source / "deep" / "run").chmod(0o700)
    (source / "big").write_bytes(os.urandom(5_000_000))
    os.link(source / "big", source / "second")
    (source / "link").symlink_to("deep/run")
    (source / "deep" / "up").symlink_to("../big")
    (source / "way").symlink_to("deep")
    there = host.make_directory()
    Path(there, "big").write_bytes(b"old and to be replaced")
    host.put_tree(source, there)
    arrived = Path(there)
    assert sorted(each.relative_to(there) for each in arrived.rglob("*")) == sorted(
        each.relative_to(source) for each in source.rglob("*")
    )
    assert (arrived / "big").read_bytes() == (arrived / "second").read_bytes() == (source / "big").read_bytes()
    assert (arrived / "-n ü\n'x").read_bytes() == b"odd"
    assert (arrived / "deep" / "run").stat().st_mode & 0o777 == 0o755
    assert (arrived / "big").stat().st_mode & 0o777 == 0o644
    assert (arrived / "link").readlink() == Path("deep/run")
    assert (arrived / "way").readlink() == Path("deep")
    host.remove_directory(there)


@pytest.mark.parametrize("target", ["/etc/passwd", "../outside", "deep/../../outside", ".."])
def test_tree_with_a_link_to_the_outside_is_refused(host: Host, tmp_path: Path, target: str) -> None:
    """A link that leaves the tree is refused, and nothing has been copied by then."""
    source = tmp_path / "source"
    source.mkdir()
    (source / "a").touch()
    (source / "link").symlink_to(target)
    there = host.make_directory()
    with pytest.raises(Refused, match="link that leaves"):
        host.put_tree(source, there)
    assert list(Path(there).iterdir()) == []
    host.remove_directory(there)


def test_tree_with_a_pipe_is_refused(host: Host, tmp_path: Path) -> None:
    """A named pipe would block for ever; it is refused."""
    (tmp_path / "source").mkdir()
    os.mkfifo(tmp_path / "source" / "pipe")
    with pytest.raises(Refused, match="neither a file nor a directory"):
        host.put_tree(tmp_path / "source", "/nonexistent")


def test_tree_wants_a_directory_there(host: Host, tmp_path: Path) -> None:
    """Copying into a directory that is not there is an error, not a new directory."""
    (tmp_path / "source").mkdir()
    with pytest.raises(HostFailed, match="missing"):
        host.put_tree(tmp_path / "source", str(tmp_path / "missing"))
    assert not (tmp_path / "missing").exists()


def test_files_are_read_measured_and_digested(host: Host, tmp_path: Path) -> None:
    """A file's bytes, length and digest are told; a limit, a missing file and a directory are errors with its name."""
    file = tmp_path / "-a 'file"
    file.write_bytes(b"x" * 1000)
    path = str(file)
    assert host.read_file(path, limit=1000) == b"x" * 1000
    assert host.measure_file(path) == 1000
    assert host.digest_file(path) == hashlib.sha256(b"x" * 1000).hexdigest()
    with pytest.raises(HostFailed, match="more than 999 bytes"):
        host.read_file(path, limit=999)
    missing = str(tmp_path / "missing")
    for ask in (lambda: host.read_file(missing, limit=9), lambda: host.measure_file(missing),
                lambda: host.digest_file(missing)):  # fmt: skip
        with pytest.raises(HostFailed, match="missing"):
            ask()
    for ask in (lambda: host.read_file(str(tmp_path), limit=9), lambda: host.measure_file(str(tmp_path)),
                lambda: host.digest_file(str(tmp_path))):  # fmt: skip
        with pytest.raises(HostFailed):
            ask()


def test_free_space_is_of_the_nearest_parent(host: Host, tmp_path: Path) -> None:
    """The room of a filesystem is told in bytes, for a path that does not exist yet too."""
    told, real = host.free_bytes(str(tmp_path / "not" / "yet")), os.statvfs(tmp_path)
    assert abs(told - real.f_bavail * real.f_frsize) < 1 << 30
    assert host.free_bytes("/proc") == 0


def test_fetched_file_has_the_bytes(host: Host, tmp_path: Path) -> None:
    """A fetched file has the same bytes, its progress ends at its size, and a wrong size is an error."""
    file = tmp_path / "image"
    data = os.urandom(4_000_000)
    file.write_bytes(data)
    heard: list[int] = []
    found = host.fetch_file(str(file), tmp_path / "here", size=len(data), on_bytes=heard.append)
    assert found.read_bytes() == data
    assert heard == sorted(heard)
    assert heard[-1] == len(data)
    for wrong in (len(data) - 1, len(data) + 1):
        with pytest.raises(HostFailed, match=f"has 4000000 bytes, not {wrong}"):
            host.fetch_file(str(file), tmp_path / "wrong", size=wrong)


def test_closing_twice_is_harmless(host: Host) -> None:
    """A host may be closed twice, and still says which one it was."""
    host.close()
    host.close()
    assert host.name
