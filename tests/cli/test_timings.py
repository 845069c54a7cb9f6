"""Where the time of a run went: steps begin with their first event, and add up to the whole."""

from imagekit.cli.timings import Step, Timings, describe_timings, render_timings
from imagekit.progress import Event, silent


class _Clock:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_steps_add_up_to_the_run() -> None:
    """Each step lasts from its first event to the next step's; what came before all of them is one too."""
    clock = _Clock()
    timings = Timings(clock)
    listen = timings.wrap(silent)
    clock.now += 0.5
    for done in range(4):
        listen(Event("installing packages", done, 4))
        clock.now += 2.0
        listen(Event("choosing", note="this takes a while"))  # a sentence, and no step
    listen(Event("verifying"))
    clock.now += 1.5
    assert timings.end() == (Step("getting ready", 0.5), Step("installing packages", 8.0), Step("verifying", 1.5))


def test_step_that_comes_back_is_one_step() -> None:
    """Two steps that take turns are two lines, in the order in which they began."""
    clock = _Clock()
    timings = Timings(clock)
    listen = timings.wrap(silent)
    for stage in ("fetching", "unpacking", "fetching", "unpacking"):
        listen(Event(stage))
        clock.now += 1.0
    assert timings.end() == (Step("getting ready", 0.0), Step("fetching", 2.0), Step("unpacking", 2.0))


def test_every_event_is_handed_on() -> None:
    """Whoever draws the bar sees each event, also after the end."""
    seen: list[Event] = []
    timings = Timings(_Clock())
    listen = timings.wrap(seen.append)
    listen(Event("a", 1, 2))
    timings.end()
    listen(Event("b"))
    assert seen == [Event("a", 1, 2), Event("b")]


def test_nothing_is_counted_after_the_end() -> None:
    """The end may be asked for again and stays where it was."""
    clock = _Clock()
    timings = Timings(clock)
    listen = timings.wrap(silent)
    listen(Event("a"))
    clock.now += 1.0
    ended = timings.end()
    clock.now += 5.0
    listen(Event("b"))
    assert timings.end() == ended == (Step("getting ready", 0.0), Step("a", 1.0))


def test_table_has_seconds_and_shares() -> None:
    """The table ends with the whole; a name that brings an escape code cannot use it."""
    table = render_timings([Step("getting ready", 0.5), Step("a\x1b[31m", 1.5)])
    assert table.splitlines() == [
        "STEP           SECONDS  SHARE",
        "getting ready      0.5    25%",
        "a\\x1b[31m          1.5    75%",
        "total              2.0   100%",
    ]
    assert render_timings([Step("a", 0.0)]).endswith("0%")


def test_document_has_milliseconds() -> None:
    """A program gets names and seconds."""
    assert describe_timings([Step("a", 1.23456)]) == [{"step": "a", "seconds": 1.235}]
