"""Every error an operator can meet: a sentence, a hint, and a stable exit code.

The core raises these and never prints or exits; :mod:`imagekit.cli` shows them. An exception that is not an
:class:`ImagekitError` is a bug and keeps its traceback.
"""

from collections.abc import Sequence
from enum import IntEnum


class ExitCode(IntEnum):
    """What a script may rely on. The table in ``docs/exit-codes.md`` is compared with this by a test."""

    DONE = 0
    BUG = 1
    USAGE = 2
    DEFINITION = 3
    TOOL = 4
    VERIFICATION = 5
    STORE = 6
    REFUSED = 7
    HOST = 8
    MISSING = 9
    INTERRUPTED = 130


class ImagekitError(Exception):
    """An operator's error: ``message`` is one sentence, ``hint`` what to do about it."""

    exit_code = ExitCode.BUG

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class DefinitionInvalid(ImagekitError):
    """``imagekit.toml`` has mistakes; ``problems`` holds one sentence for each, all found in one reading."""

    exit_code = ExitCode.DEFINITION

    def __init__(self, message: str, *, problems: Sequence[str] = (), hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.problems = tuple(problems)


class SettingsInvalid(DefinitionInvalid):
    """A setting of this operator (file, environment or flag) cannot be used."""


class ToolFailed(ImagekitError):
    """An external program ended with an error; ``detail`` is the end of what it said."""

    exit_code = ExitCode.TOOL

    def __init__(self, message: str, *, detail: str = "", hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.detail = detail
        if detail:
            self.add_note(detail)  # a traceback, of a bug or of a test, shall show it too


class VerificationFailed(ImagekitError):
    """The image is not fit to be cloned, or what was checked could not be read."""

    exit_code = ExitCode.VERIFICATION


class ImageDamaged(VerificationFailed):
    """The bytes of an image contradict themselves, or ask for more than any honest image needs."""


class ReaderFailed(VerificationFailed):
    """What is there is of a kind that is read, and its reader is missing, failed, or met a limit: it was not seen."""


class ImageNamesHostFile(VerificationFailed):
    """An image says that its content is in another file of this machine; that file is never opened."""


class StoreError(ImagekitError):
    """The store cannot do what was asked: no such version, locked, read-only, full, damaged."""

    exit_code = ExitCode.STORE


class Refused(ImagekitError):
    """imagekit will not do this because it could destroy something."""

    exit_code = ExitCode.REFUSED


class HostFailed(ImagekitError):
    """A machine, a host or the cluster did not do its part."""

    exit_code = ExitCode.HOST


class ToolMissing(ImagekitError):
    """A program that is needed is not installed; the message names it, the hint names its package."""

    exit_code = ExitCode.MISSING
