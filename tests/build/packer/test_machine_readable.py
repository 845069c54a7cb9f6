"""Packer's machine-readable lines, real ones and hostile ones."""

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from imagekit.build.packer.machine_readable import (
    Artifact,
    ArtifactCount,
    ArtifactFact,
    BuildFailed,
    LineReader,
    Message,
    Other,
    Said,
    collect_artifacts,
    parse_line,
    unescape,
)

_HERE = Path(__file__).parent


def read_all(data: bytes, size: int = 7) -> list[Message]:
    """Feed ``data`` in pieces of ``size`` bytes and return all messages."""
    reader = LineReader()
    pieces = (data[start : start + size] for start in range(0, len(data), size))
    return [*(message for piece in pieces for message in reader.feed(piece)), *reader.close()]


def test_recorded_success() -> None:
    """What Packer 1.16 wrote for a build that went well has its artifact, with files, and what scripts said."""
    messages = read_all((_HERE / "recorded-success.txt").read_bytes())
    assert ArtifactCount("file.demo", 2) in messages
    summed = "packer.post-processor.checksum"
    assert collect_artifacts(messages) == (
        Artifact("file.demo", "packer.file", "File", "Stored file: demo.txt", ("demo.txt",)),
        Artifact(
            "file.demo", summed, "", "Created artifact from files: demo.txt, demo.sha256", ("demo.txt", "demo.sha256")
        ),
    )
    assert Said("==> file.demo: one, two", False) in messages
    assert Said("==> file.demo: three", True) in messages
    assert not any(isinstance(message, Other) for message in messages)


def test_recorded_failure() -> None:
    """What Packer 1.16 wrote for a provisioner that failed has the reason, and no artifact."""
    messages = read_all((_HERE / "recorded-failure.txt").read_bytes())
    reason = "Script exited with non-zero exit status: 3. Allowed exit codes are: [0]"
    assert BuildFailed("file.demo", reason) in messages
    assert collect_artifacts(messages) == ()
    assert [message for message in messages if isinstance(message, Other)] == [Other(f"{_find_time()},,error-count,1")]


def _find_time() -> str:
    lines = (_HERE / "recorded-failure.txt").read_text().splitlines()
    return next(line.split(",")[0] for line in lines if ",error-count," in line)


def test_fields_are_unescaped_after_they_are_cut() -> None:
    """A comma, newline and carriage return in a field come back, and cut nothing."""
    assert parse_line("1,,ui,say,a%!(PACKER_COMMA)b\\nc\\rd") == Said("a,b\nc\rd", False)
    assert parse_line("1,x,artifact,0,file,1,/a%!(PACKER_COMMA)b") == ArtifactFact("x", 0, "file", ("1", "/a,b"))


def test_lines_of_no_form_are_kept_as_they_are() -> None:
    """A panic, a number that is none, or a count that is too long to be true becomes no event."""
    for line in ("", "panic: runtime error", "x,,ui,say,a", "1,,ui", "1,x,artifact-count,-1", "²,,ui,say,a"):
        assert parse_line(line) == Other(line)
    assert parse_line(f"1,x,artifact-count,{'9' * 5000}") == Other(f"1,x,artifact-count,{'9' * 5000}")


def test_long_line_is_cut() -> None:
    """Of a line of two MiB the first is kept, and the next line is whole again."""
    messages = read_all(b"1,,ui,say," + b"x" * (2 << 20) + b"\n1,,ui,say,y\n", 1 << 16)
    assert isinstance(messages[0], Said)
    assert len(messages[0].text) < 1 << 20
    assert messages[1] == Said("y", False)


def test_artifacts_are_bounded() -> None:
    """A stream that names endless artifacts and files is collected up to a limit."""
    facts = [ArtifactFact("x", index, "id", ("a",)) for index in range(1000)]
    assert len(collect_artifacts(facts)) == 64
    files = [ArtifactFact("x", 0, "file", ("0", "a"))] * 10_000
    assert len(collect_artifacts(files)[0].files) == 4096


@given(st.binary(max_size=300), st.integers(1, 40))
def test_any_bytes_are_some_messages(data: bytes, size: int) -> None:
    """Whatever comes, in whatever pieces, is a message for each line, the same ones however it was cut."""
    messages = read_all(data, size)
    assert messages == read_all(data, len(data) or 1)
    assert len(messages) == data.count(b"\n") + (not data.endswith(b"\n") and data != b"")
    collect_artifacts(messages)


@given(st.text(st.characters(exclude_characters="\\", exclude_categories=["Cs"]), max_size=50))
def test_text_comes_back(text: str) -> None:
    """Text without a backslash is the same after Packer's escaping and ours undone."""
    escaped = text.replace(",", "%!(PACKER_COMMA)").replace("\r", "\\r").replace("\n", "\\n")
    if "%!(PACKER_COMMA)" not in text:
        assert unescape(escaped) == text
        assert parse_line(f"1,,ui,error,{escaped}") == Said(text, True)
