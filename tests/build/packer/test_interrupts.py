"""Signals are counted while Packer runs and handed on afterwards."""

import os
import signal
import threading

import pytest

from imagekit.build.packer.interrupts import Interrupts, hear_interrupts


def test_first_signal_reaches_the_old_handler_afterwards() -> None:
    """Two signals are counted without an exception; then the handler that was there gets the first, once."""
    heard: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda number, _frame: heard.append(number))
    try:
        with hear_interrupts() as interrupts:
            os.kill(os.getpid(), signal.SIGTERM)
            os.kill(os.getpid(), signal.SIGINT)
        assert interrupts.count == 2
        assert heard == []
        with pytest.raises(KeyboardInterrupt):
            interrupts.deliver()
        assert heard == [signal.SIGTERM]
    finally:
        signal.signal(signal.SIGTERM, before)


def test_ignored_and_default_signals_stay() -> None:
    """nohup's ignored SIGHUP stays ignored, and a default action is not replaced."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with hear_interrupts() as interrupts:
            os.kill(os.getpid(), signal.SIGHUP)
            assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
        assert interrupts.count == 0
    finally:
        signal.signal(signal.SIGHUP, before)


def test_nothing_heard_is_nothing_delivered() -> None:
    """Without a signal nothing is raised."""
    heard = Interrupts()
    heard.deliver()
    assert heard.count == 0


def test_thread_changes_no_handlers() -> None:
    """In a thread, where Python allows no handlers, the block simply runs."""
    done: list[int] = []

    def run() -> None:
        with hear_interrupts() as interrupts:
            done.append(interrupts.count)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert done == [0]
