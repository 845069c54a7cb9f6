"""What is shown and kept of what Vagrant says while it says it."""

from imagekit.build.vagrant.steps import BOX, STARTING
from imagekit.build.vagrant.watch import Watch
from imagekit.progress import Event


def _say(watch: Watch, *texts: str) -> None:
    for text in texts:
        watch.output.write(f"1795309349,builder,ui,detail,{text}\n".encode())
    watch.pump()


def test_download_is_a_bar() -> None:
    """A box's download counts in percent, and does not fill the kept lines."""
    events: list[Event] = []
    watch = Watch(STARTING, events.append)
    _say(watch, "Progress: 12% (Rate: 3M/s%!(VAGRANT_COMMA) Estimated time remaining: 0:00:40)")
    assert events[-1] == Event(BOX, 12, 100, unit="%", detail="3M/s, 0:00:40 left")
    assert not watch.lines


def test_terminal_codes_are_removed() -> None:
    """The guest's output cannot drive the operator's terminal."""
    watch = Watch(STARTING, lambda _event: None)
    _say(watch, "    builder: \x1b[2Jhello\x07")
    assert list(watch.lines) == ["hello"]


def test_flood_is_bounded() -> None:
    """400 lines of 500 characters are kept; the end that is shown has 25."""
    watch = Watch(STARTING, lambda _event: None)
    _say(watch, *("x" * 2000 for _ in range(1000)))
    assert len(watch.lines) == 400
    assert max(map(len, watch.lines)) == 500
    assert len(watch.list_last_lines()) == 25


def test_plain_words_are_heard() -> None:
    """What a plugin prints beside the machine-readable lines, and what goes to standard error, is kept too."""
    watch = Watch(STARTING, lambda _event: None)
    watch.output.write(b"plugin: hello\n")
    watch.errors.write(b"1,2,3,4\nfailed early")
    watch.close()
    assert list(watch.lines) == ["plugin: hello", "1,2,3,4", "failed early"]


def test_fault_is_kept() -> None:
    """The class of the error is known when Vagrant has ended."""
    watch = Watch(STARTING, lambda _event: None)
    watch.output.write(b"1795309349,,error-exit,Vagrant::Errors::VMBootTimeout,late\n")
    watch.close()
    assert watch.fault is not None
    assert watch.fault.short_name == "VMBootTimeout"
