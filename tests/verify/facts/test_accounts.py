"""Accounts from files that may be anything."""

import pytest

from imagekit.verify.facts.accounts import find_homes, has_password, read_accounts, read_groups
from imagekit.verify.view import CannotSee
from tests.verify.facts.conftest import MakeView


def test_bad_lines_are_skipped(make_view: MakeView) -> None:
    """Lines that are no accounts change nothing; numbers that are none become -1."""
    view = make_view({"/etc/passwd": "\nroot:x:0:0::/root:/bin/sh\nshort:x:1\n+nis::::::\nbad:x:no:0::/:/bin/sh\n"})
    assert [(account.name, account.uid) for account in read_accounts(view)] == [("root", 0), ("bad", -1)]


def test_no_passwd_cannot_be_seen(make_view: MakeView) -> None:
    """An image without passwd has not been found clean of accounts."""
    with pytest.raises(CannotSee):
        read_accounts(make_view({}))


def test_password_comes_from_the_field_that_counts(make_view: MakeView) -> None:
    """An x points to shadow; anything else in passwd counts itself; no shadow line means no password."""
    view = make_view(
        {
            "/etc/passwd": "".join(
                f"{name}:{field}:1:1::/:/bin/sh\n" for name, field in (("a", "x"), ("b", ""), ("c", "x"))
            ),
            "/etc/shadow": "a:$6$saltsalt$hashhashhash:1::::::\n",
        }
    )
    assert [has_password(view, account) for account in read_accounts(view)] == [True, True, False]


def test_homes_are_of_accounts_and_of_nobody(make_view: MakeView) -> None:
    """Every directory in /home is somebody's, whether passwd knows them or not."""
    view = make_view({"/etc/passwd": "a:x:1:1::/srv/a:/bin/sh\n", "/srv/a/x": "", "/home/b/x": ""})
    assert find_homes(view) == {"/srv/a": "a", "/home/b": "b", "/root": "root"}


def test_group_members(make_view: MakeView) -> None:
    """Members are split at commas."""
    assert read_groups(make_view({"/etc/group": "sudo:x:27:a,b\nbad\n"})) == {"sudo": (27, ("a", "b"))}
