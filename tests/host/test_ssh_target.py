"""Addresses of machines: what is understood, and what is refused with a reason."""

import pytest

from imagekit.errors import DefinitionInvalid
from imagekit.host.ssh_target import SshTarget

_PRINT = "SHA256:" + "A" * 43


@pytest.mark.parametrize(
    ("url", "host", "user", "port"),
    [
        ("ssh://machine.example", "machine.example", "", 0),
        ("ssh://root@machine.example/", "machine.example", "root", 0),
        ("ssh://root@machine.example:2222", "machine.example", "root", 2222),
        ("ssh://192.0.2.7:22", "192.0.2.7", "", 22),
        ("ssh://me@[2001:db8::1]:2222", "2001:db8::1", "me", 2222),
        ("ssh://me@[fe80::1%25eth0]", "fe80::1%25eth0", "me", 0),
        ("ssh://a%2Bb@machine.example", "machine.example", "a+b", 0),
        ("ssh://my_alias", "my_alias", "", 0),
    ],
)
def test_address_is_understood(url: str, host: str, user: str, port: int) -> None:
    """Host, user and port are taken apart; what was not given is left open."""
    target = SshTarget.parse(url)
    assert (target.host, target.user, target.port) == (host.replace("%25", "%"), user, port)


@pytest.mark.parametrize(
    "url",
    [
        "machine.example",
        "http://machine.example",
        "ssh://",
        "ssh://:22",
        "ssh://root@",
        "ssh://@machine.example",
        "ssh://machine.example:0",
        "ssh://machine.example:65536",
        "ssh://machine.example:ssh",
        "ssh://machine.example/etc",
        "ssh://machine.example?x=1",
        "ssh://machine.example#x",
        "ssh://-oProxyCommand=x",
        "ssh://mach ine.example",
        "ssh://[2001:db8::1",
        "ssh://a%20b@machine.example",
        "ssh://a%0ab@machine.example",
    ],
)
def test_what_is_no_address_is_refused(url: str) -> None:
    """Anything else is refused with the shape that it should have."""
    with pytest.raises(DefinitionInvalid, match="is no SSH address") as problem:
        SshTarget.parse(url)
    assert "ssh://[user@]host[:port]" in str(problem.value.hint)


def test_password_is_refused_and_not_repeated() -> None:
    """A password in an address does not get into the message."""
    with pytest.raises(DefinitionInvalid, match="may not hold a password") as problem:
        SshTarget.parse("ssh://root:hunter2@machine.example")
    assert "hunter2" not in f"{problem.value.message}{problem.value.hint}"


@pytest.mark.parametrize("text", ["MD5:aa:bb", "SHA256:short", "A" * 43])
def test_fingerprint_has_its_form(text: str) -> None:
    """A host key to expect is given as ssh-keygen shows it."""
    with pytest.raises(DefinitionInvalid, match="no fingerprint"):
        SshTarget.parse("ssh://machine.example", host_key=text)
    assert SshTarget.parse("ssh://machine.example", host_key=_PRINT + "=").host_key == _PRINT


@pytest.mark.parametrize("url", ["ssh://me@[2001:db8::1]:2222", "ssh://machine.example", "ssh://me@machine.example:22"])
def test_address_is_shown_as_given(url: str) -> None:
    """The text of a target can be given again."""
    assert str(SshTarget.parse(url)) == url
