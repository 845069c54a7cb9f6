r"""The POSIX shell scripts that :mod:`imagekit.host.openssh` runs on the other machine.

A login's shell may be anything, fish and csh too, so it reads one line that means the same to all of them: start
``/bin/sh``, which reads the script itself from its input. So no argument and no variable is on a command line there,
where other users could read it, and none is too long for one.
"""

import re
import shlex
from collections.abc import Mapping, Sequence

from imagekit.errors import HostFailed
from imagekit.host.host import BUILD_PREFIX, BUILDS, NIX_PLACES, SWEEP_DAYS

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
GRACE_SECONDS = 5


def make_command_line(length: int) -> str:
    """Return what the login's shell reads: run the script of ``length`` bytes that comes first on standard input.

    dd(1) with blocks of one byte takes not one byte of what follows the script.
    """
    return f"exec /bin/sh -c 'eval \"$(dd bs=1 count={length} 2>/dev/null)\"'"


def make_script(body: str, mark: str) -> bytes:
    """Return a whole script: PATH, ``mark`` on standard output on a line of its own, and ``body``.

    Braces make the shell read all of it first: of a script that a lost connection cut nothing is run.
    """
    places = ":".join(NIX_PLACES).replace("$USER", "${USER:-$(id -un)}")
    return f"{{\nPATH=\"$PATH:{places}\"; export PATH\nprintf '\\n%s\\n' {mark}\n{body}\n}}".encode()


def make_command(argv: Sequence[str], environment: Mapping[str, str] | None, mark: str, length: int) -> str:
    """Return the body that runs ``argv``, with ``length`` bytes of standard input, as long as the connection lives.

    Left of the pipe stands the watcher: it hands over the input, closes the pipe, and waits. Once the connection is
    gone it reads the end of its input and ends the whole process group, which sshd made for the session: SIGTERM, five
    seconds, SIGKILL. A status of 255 would look like ssh's own, and a missing program like a status of 127: both are
    said with ``mark`` on standard error.
    """
    given = (environment or {}).items()
    variables = "".join(f"{_check_name(name)}={quote(value)}; export {name}\n" for name, value in given)
    data = f"head -c {length}" if length else ":"  # head(1) of BSD refuses 0
    return (
        f"{variables}command -v {quote(argv[0])} >/dev/null 2>&1 || "
        f"{{ printf '%s missing\\n' {mark} >&2; exit 127; }}\n"
        "exec 3>&2 2>/dev/null\n"  # shells tell of the watcher's death
        f"{{ trap '' TERM HUP INT; exec 3>&-; sh -c 'echo \"$PPID\"'; {data}\n"
        # a new shell of the same number: pdksh keeps what exec redirects, here the pipe, open
        f"exec sh -c 'while IFS= read -r line; do :; done; kill -TERM 0; sleep {GRACE_SECONDS}; kill -KILL 0' "
        ">/dev/null; } | {\n"
        "IFS= read -r watcher\n"
        f"env {' '.join(quote(each) for each in argv)} 2>&3 3>&-\n"  # env: never the shell's own
        'status=$?; kill -KILL "$watcher"\n'
        f'[ "$status" != 255 ] || {{ printf \'\\n%s 255\\n\' {mark} >&3; exit 254; }}\nexit "$status"; }}'
    )


def make_directory_body() -> str:
    """Return the body that sweeps old directories, makes a fresh one and prints its path."""
    return (
        f'umask 077\nbuilds="${{XDG_CACHE_HOME:-$HOME/.cache}}/{BUILDS}"\nmkdir -p "$builds" || exit 1\n'
        f"find \"$builds/.\" ! -name . -prune -type d -name '{BUILD_PREFIX}*' -mtime +{SWEEP_DAYS - 1} "
        f"-exec sh -c '{_REMOVE}' sh '{{}}' \\;\nmktemp -d \"$builds/{BUILD_PREFIX}XXXXXXXXXX\""
    )


# A copy out of a Nix store has directories that may not be written to.
_REMOVE = 'rm -rf -- "$1" 2>/dev/null || { chmod -R u+rwX -- "$1"; rm -rf -- "$1"; }'


def remove_directory_body(directory: str) -> str:
    """Return the body that removes a tree."""
    return f"sh -c {quote(_REMOVE)} sh {quote_path(directory)}"


def measure_body(path: str) -> str:
    """Return the body that prints a file's length."""
    quoted = quote_path(path)
    return (
        f"[ -e {quoted} ] || {{ echo 'there is no such file' >&2; exit 1; }}\n"
        f"[ -f {quoted} ] || {{ echo 'it is not a file' >&2; exit 1; }}\nwc -c < {quoted}"
    )


def digest_body(path: str) -> str:
    """Return the body that prints a file's SHA-256, by whichever program is there (macOS has no sha256sum)."""
    return (
        f"exec < {quote_path(path)} || exit 1\n"
        "if command -v sha256sum >/dev/null; then exec sha256sum; "
        "elif command -v shasum >/dev/null; then exec shasum -a 256; else exec openssl dgst -sha256 -r; fi"
    )


def free_body(path: str) -> str:
    """Return the body that prints df(1)'s POSIX table for the nearest existing parent."""
    return (
        f'place={quote_path(path)}\nwhile [ ! -e "$place" ]; do place=$(dirname -- "$place"); done\ndf -Pk -- "$place"'
    )


def find_body(name: str) -> str:
    """Return the body that prints where a program is; the shell's own of that name does not count."""
    return (
        f"name={quote(name)}\nplaces=$PATH\ncase $name in */*) places=; esac\nIFS=:\n"
        'for place in ${places:-""}; do\n[ -z "$place" ] || name=$place/${name##*/}\n'
        'if [ -f "$name" ] && [ -x "$name" ]; then printf \'%s\\n\' "$name"; exit 0; fi\ndone\nexit 0'
    )


def quote(text: str) -> str:
    """Quote for a POSIX shell; raises :class:`HostFailed` for a zero byte, which no argument can have."""
    if "\0" in text:
        raise HostFailed("an argument for another machine has a zero byte in it")
    return shlex.quote(text)


def quote_path(path: str) -> str:
    """Quote a path so that no program takes it for an option."""
    return quote(f"./{path}" if path.startswith("-") else path)


def _check_name(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise HostFailed(f"{name!r} is no name of an environment variable")
    return name
