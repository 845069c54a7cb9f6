"""Notorious passwords: found when libcrypt knows the method, never tried when a hash names a dangerous cost."""

import time
from pathlib import Path

import pytest

from imagekit.verify import Policy, Profile, verify_directory
from imagekit.verify.checks import passwords
from imagekit.verify.secrets import libcrypt
from tests.verify.clean_tree import append, replace

# What mkpasswd(1) of Debian 12 writes, for the passwords named.
YESCRYPT_CHANGEME = "$y$j9T$b4LBRHCnPDMHFZbTvMAt00$jMs41fhPkM3AmrhoiFbwchSLP0WZyeUWEeipy3FN9qB"
SHA512_PACKER = "$6$saltsalt$eWwzB8NsnzXoqwWcOO6uEVzQ5ZohAdKgL6rIPMq5OgmNbHSyBHrDQkOZzqKKHa/F9Mp7rYyAiHB.reGkw.iqL1"


def far() -> float:
    """Return a time limit that does not matter."""
    return time.monotonic() + 60


def test_yescrypt_is_understood() -> None:
    """The default method of Debian is tried, through libxcrypt."""
    assert libcrypt.find_known_password(YESCRYPT_CHANGEME, "joe", far()) == "changeme"


def test_user_name_is_tried_first() -> None:
    """A password that is the user's own name is found."""
    assert libcrypt.find_known_password(SHA512_PACKER, "packer", far()) == "packer"
    assert libcrypt.find_known_password(SHA512_PACKER, "root", far()) == "packer"


def test_unknown_password_is_none() -> None:
    """A hash of no notorious password is no answer."""
    assert libcrypt.find_known_password("$6$saltsalt$" + "a" * 86, "joe", far()) is None


@pytest.mark.parametrize(
    "field",
    [
        "$y$jFT$x$" + "a" * 43,
        "$2b$31$" + "a" * 53,
        "$6$rounds=999999999$a$" + "a" * 86,
        "$7$CU..../....x$" + "a" * 43,
        "$y$j9T$x$" + "a" * 42,
        "$6$" + "a" * 100_000,
        "$6$salt\0$" + "a" * 86,
        "_J9..rasmBYk8r9AiWNc",
        "\udcff" * 13,
        "",
    ],
)
def test_dangerous_hash_is_not_tried(field: str) -> None:
    """A method or cost that could take hours or gigabytes, or text that is no hash, is refused before the call."""
    started = time.monotonic()
    with pytest.raises(libcrypt.NotTested, match="unusual"):
        libcrypt.find_known_password(field, "joe", far())
    assert time.monotonic() - started < 0.1


def test_time_ends_the_search() -> None:
    """When the time is over no word is tried any more."""
    with pytest.raises(libcrypt.NotTested, match="time"):
        libcrypt.find_known_password(YESCRYPT_CHANGEME, "joe", time.monotonic() - 1)


def test_missing_library_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where there is no libcrypt, the words are not tested, and that is what is said."""
    monkeypatch.setattr(libcrypt, "_LIBRARIES", ("libnosuchcrypt.so.9",))
    libcrypt._load.cache_clear()
    try:
        with pytest.raises(libcrypt.NotTested, match="no libcrypt"):
            libcrypt.find_known_password(YESCRYPT_CHANGEME, "joe", far())
    finally:
        libcrypt._load.cache_clear()


def test_strange_user_name_is_not_a_word() -> None:
    """A name with control characters or without end is never handed to C."""
    assert libcrypt.find_known_password("$1$a$" + "b" * 22, "x\0y", far()) is None
    assert libcrypt.find_known_password("$1$a$" + "b" * 22, "x" * 1000, far()) is None


def test_report_names_the_password(tree: Path) -> None:
    """The finding says which notorious password it is; the hash itself is not in it."""
    replace(tree, "/etc/shadow", "root:*:", f"root:{SHA512_PACKER}:")
    (finding,) = (each for each in verify_directory(tree).findings if each.check == "account-passwords")
    assert finding.found == "root has a usable sha512crypt hash: password is `packer`"


def test_locked_hash_is_explained_too(tree: Path) -> None:
    """A locked hash can be unlocked, so what it hides is told as well."""
    replace(tree, "/etc/shadow", "root:*:", f"root:!{SHA512_PACKER}:")
    (finding,) = (each for each in verify_directory(tree).findings if each.check == "account-passwords")
    assert finding.found.endswith("hash is still there: password is `packer`")


def test_many_hashes_share_one_second(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A shadow file full of hashes costs no more than the one budget, and says what was not tested."""
    monkeypatch.setattr(passwords, "_TRIAL_SECONDS", 0.05)
    for number in range(50):
        append(tree, "/etc/shadow", f"u{number}:$6$rounds=20000$salt{number}${'a' * 86}:1::::::\n")
    started = time.monotonic()
    findings = [each for each in verify_directory(tree).findings if each.check == "account-passwords"]
    assert time.monotonic() - started < 3
    assert "not tested: out of time" in findings[0].found


def test_running_machine_may_have_passwords(tree: Path) -> None:
    """On a clone a person's own password is no finding; a notorious one is."""
    clone = Policy(profile=Profile.CLONE)
    replace(tree, "/etc/shadow", "root:*:", "root:$6$saltsalt$" + "a" * 86 + ":")
    assert "account-passwords" in verify_directory(tree, clone).passed
    replace(tree, "/etc/shadow", "root:$6$saltsalt$" + "a" * 86, f"root:{SHA512_PACKER}")
    assert "account-passwords" in {each.check for each in verify_directory(tree, clone).findings}
