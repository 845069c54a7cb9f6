"""Try a dozen notorious passwords on a hash with the system's libcrypt, to say which one it is.

Only ever an explanation: a usable hash is a finding whatever the password. crypt(3) is the one interface that knows
yescrypt, the default of Debian since 11; Python dropped its module in 3.13. The hash comes from an image and names its
own cost, so only costs that distributions set by default are tried: nothing could stop a call that takes hours.
Source: crypt(3), crypt(5), libxcrypt's crypt.h.
"""

import ctypes
import re
import time
from collections.abc import Iterator
from functools import cache

WORDS = ("packer", "debian", "ubuntu", "vagrant", "builder", "password", "changeme", "admin", "root", "toor")
_LIBRARIES = ("libcrypt.so.1", "libcrypt.so.2")
_STATE_BYTES = 256 << 10  # struct crypt_data: 128 KiB in glibc's own libcrypt, 32 KiB in libxcrypt
_SALT = r"[./0-9A-Za-z]"
# Default costs and those below. yescrypt: 'j' and a digit for N (2 to the power of up to 12, 16 MiB), then 'T' for r.
_CHEAP = re.compile(
    rf"\$g?y\$j[./0-9]T\${_SALT}{{1,86}}\${_SALT}{{43}}"
    rf"|\$[56]\$(?:rounds=[1-9]\d{{3,4}}\$)?{_SALT}{{1,16}}\${_SALT}{{43,86}}"
    rf"|\$2[abxy]\$(?:0[4-9]|10)\${_SALT}{{53}}"
    rf"|\$1\${_SALT}{{1,8}}\${_SALT}{{22}}"
    rf"|{_SALT}{{13}}"
)


class NotTested(Exception):
    """The passwords were not, or not all, tried; the text says why in a few words."""


@cache
def _load() -> "ctypes.CDLL | None":
    for name in _LIBRARIES:
        try:
            library = ctypes.CDLL(name)
            library.crypt_r.argtypes = (ctypes.c_char_p, ctypes.c_char_p, ctypes.c_void_p)
            library.crypt_r.restype = ctypes.c_char_p
        except (OSError, AttributeError):
            continue
        return library
    return None


def find_known_password(field: str, user: str, deadline: float) -> str | None:
    """Return the notorious password that gives the hash ``field``: of ``WORDS``, the user's name, or the empty one.

    ``deadline`` is of ``time.monotonic()``, in seconds. Raises :class:`NotTested` when there is no libcrypt, the hash
    is of a kind or cost that is not tried, or the time ran out before a word matched.
    """
    library = _load()
    if library is None:
        raise NotTested("no libcrypt here")
    if _CHEAP.fullmatch(field) is None:
        raise NotTested("an unusual method or cost")
    state = ctypes.create_string_buffer(_STATE_BYTES)
    for word in _list_words(user):
        if time.monotonic() > deadline:
            raise NotTested("out of time")
        result = library.crypt_r(word.encode(), field.encode(), state)
        if result is not None and result == field.encode():
            return word
    return None


def _list_words(user: str) -> Iterator[str]:
    """Yield the words, likeliest first; a name with NUL or bytes that are no UTF-8 is not tried."""
    own = (user,) if user.isprintable() and user.isascii() and len(user) <= 32 else ()
    yield from dict.fromkeys((*own, *WORDS, ""))
