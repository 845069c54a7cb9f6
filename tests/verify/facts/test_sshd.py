"""sshd's policy from its files, by the rules of sshd_config(5)."""

from pathlib import Path

import pytest

from imagekit.verify.facts.sshd import read_sshd_policy
from imagekit.verify.view import CannotSee
from tests.verify.facts.conftest import MakeView

MAIN = "/etc/ssh/sshd_config"
DROP_INS = "/etc/ssh/sshd_config.d"


def test_first_value_wins_over_includes_in_c_order(make_view: MakeView) -> None:
    """50-… beats 60-… and the main file, because Include stands first and the first value counts."""
    view = make_view(
        {
            MAIN: "Include /etc/ssh/sshd_config.d/*.conf\nPasswordAuthentication no\n",
            f"{DROP_INS}/60-hard.conf": "PasswordAuthentication no\n",
            f"{DROP_INS}/50-cloud-init.conf": "passwordauthentication yes\n",
        }
    )
    setting = read_sshd_policy(view).get("passwordauthentication")
    assert (setting.value, setting.path) == ("yes", f"{DROP_INS}/50-cloud-init.conf")


def test_capital_letters_sort_before_small_ones(make_view: MakeView) -> None:
    """C order, not a person's: Z.conf is read before a.conf."""
    view = make_view(
        {MAIN: "Include sshd_config.d/*.conf\n", f"{DROP_INS}/a.conf": "Port 1\n", f"{DROP_INS}/Z.conf": "Port 2\n"}
    )
    assert read_sshd_policy(view).get("port").value == "2"


def test_only_names_that_match_are_included(make_view: MakeView) -> None:
    """A drop-in without .conf, or with a leading dot, is not read."""
    view = make_view(
        {
            MAIN: f"Include {DROP_INS}/*.conf\n",
            f"{DROP_INS}/a.conf.bak": "PermitRootLogin yes\n",
            f"{DROP_INS}/.a.conf": "PermitRootLogin yes\n",
        }
    )
    assert read_sshd_policy(view).get("permitrootlogin").value == "prohibit-password"


def test_wildcards_may_stand_in_any_part(make_view: MakeView) -> None:
    """glob(3) matches directories too, in C order; a name without a match is left out, a dead link is kept."""
    view = make_view(
        {
            MAIN: "Include /etc/ssh/conf-*/[ab].conf absent.conf\n",
            "/etc/ssh/conf-2/a.conf": "Port 2\n",
            "/etc/ssh/conf-1/b.conf": "Port 1\n",
            "/etc/ssh/conf-1/c.conf": "Port 3\n",
            "/etc/ssh/.conf-0/a.conf": "Port 4\n",
        }
    )
    policy = read_sshd_policy(view)
    assert policy.files == [MAIN, "/etc/ssh/conf-1/b.conf", "/etc/ssh/conf-2/a.conf"]
    assert [setting.value for setting in policy.list_values("port")] == ["1", "2"]
    assert policy.unread == []


def test_dead_link_is_not_read(make_view: MakeView, tmp_path: Path) -> None:
    """A link that matches and leads nowhere is named, with the file that includes it."""
    view = make_view({MAIN: f"Include {DROP_INS}/*.conf\n", f"{DROP_INS}/a.conf": ""})
    (tmp_path / "tree/etc/ssh/sshd_config.d/z.conf").symlink_to("/etc/nowhere")
    assert read_sshd_policy(view).unread == [(MAIN, f"{DROP_INS}/z.conf")]


def test_lines_keep_their_place(make_view: MakeView) -> None:
    """Each line knows its file, number and whether it stands under Match; blanks may be as many as one likes."""
    view = make_view({MAIN: f"# one\nPort{' ' * 4000}1\n\nMatch User b\nX11Forwarding = no\n"})
    lines = read_sshd_policy(view).lines
    assert [(line.keyword, line.value, line.number, line.in_match) for line in lines] == [
        ("port", "1", 2, False),
        ("match", "User b", 4, False),
        ("x11forwarding", "no", 5, True),
    ]


def test_match_blocks_are_kept_apart(make_view: MakeView) -> None:
    """What stands under Match is not the policy for everybody, and an included Match ends with its file."""
    view = make_view(
        {
            MAIN: "Include sshd_config.d/*.conf\nPermitRootLogin no\nMatch User b\n  PasswordAuthentication yes\n",
            f"{DROP_INS}/a.conf": "PasswordAuthentication no\nMatch Group g\nX11Forwarding no\n",
        }
    )
    policy = read_sshd_policy(view)
    assert policy.get("permitrootlogin").value == "no"
    assert policy.get("passwordauthentication").value == "no"
    assert [block.criteria for block in policy.blocks] == ["Group g", "User b"]
    assert [policy.allows_passwords(block) is not None for block in policy.blocks] == [False, True]


def test_match_all_ends_a_block(make_view: MakeView) -> None:
    """After ``Match all`` settings are everybody's again."""
    view = make_view({MAIN: "Match User b\nPort 1\nMatch all\nPermitRootLogin no\n"})
    assert read_sshd_policy(view).get("permitrootlogin").value == "no"


def test_equals_sign_quotes_and_comments(make_view: MakeView) -> None:
    """The three ways of writing a value mean the same."""
    view = make_view({MAIN: '#Port 1\n Port=2 # two\nPermitRootLogin "no"\n'})
    policy = read_sshd_policy(view)
    assert (policy.get("port").value, policy.get("permitrootlogin").value) == ("2", "no")


@pytest.mark.parametrize(
    ("text", "allowed"),
    [
        ("", True),
        ("PasswordAuthentication no\n", False),
        ("PasswordAuthentication no\nUsePAM yes\n", True),
        ("PasswordAuthentication no\nUsePAM yes\nKbdInteractiveAuthentication no\n", False),
        ("PasswordAuthentication no\nUsePAM yes\nChallengeResponseAuthentication no\n", False),
        ("AuthenticationMethods publickey\n", False),
        ("AuthenticationMethods publickey,password publickey\n", True),
    ],
)
def test_password_login(make_view: MakeView, text: str, allowed: bool) -> None:
    """Passwords are accepted unless both ways to give one are closed; unset means accepted."""
    assert (read_sshd_policy(make_view({MAIN: text})).allows_passwords() is not None) is allowed


def test_include_loop_ends(make_view: MakeView) -> None:
    """A file that includes itself is not followed for ever."""
    with pytest.raises(CannotSee, match="too deep"):
        read_sshd_policy(make_view({MAIN: f"Include {MAIN}\n"}))


def test_missing_file_is_not_a_policy(make_view: MakeView) -> None:
    """Without sshd_config nothing is said about SSH."""
    with pytest.raises(CannotSee):
        read_sshd_policy(make_view({}))
