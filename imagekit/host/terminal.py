"""Hand the terminal to a program for as long as it runs: an SSH session that a person wanted."""

import os
import signal
from collections.abc import Sequence

from imagekit.host.local import make_environment
from imagekit.host.tools import find_tool


def run_on_terminal(argv: Sequence[str]) -> int:
    """Run ``argv`` with this process's own standard streams to its end and return its exit status.

    Ctrl-C is the program's affair. Raises :class:`ToolMissing` when there is no such program.
    """
    import sh  # here: 40 ms that --help should not pay

    program = find_tool(argv[0])
    passed = {name: os.environ[name] for name in ("SSH_AUTH_SOCK", "LC_TERMINAL", "COLORTERM") if name in os.environ}
    before = signal.signal(signal.SIGINT, lambda _number, _frame: None)  # not ignored: the child would inherit that
    try:
        sh.Command(program)(*argv[1:], _fg=True, _env=make_environment(passed))
    except sh.ErrorReturnCode as ended:
        status = int(ended.exit_code)
        return 128 - status if status < 0 else status
    finally:
        signal.signal(signal.SIGINT, before)
    return 0
