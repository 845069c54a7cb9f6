"""Accounts: what could not be made, or would open without a key, is refused."""

from pathlib import Path

import pytest

from imagekit.definition import read_project
from imagekit.definition.accounts import SSH_KEY_TYPES
from imagekit.host import run
from tests.definition.samples import BLOB, KEY, SECRET, Refuse


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ('name = "Ops"', "users[0].name: 'Ops' cannot name an account"),
        (f'name = "{"a" * 33}"', "cannot name an account"),
        ('name = "-ops"', "cannot name an account"),
        ('name = "www-data"', "users[0].name: 'www-data' is reserved"),
        ('name = "ops"\nshell = "bash"', "users[0].shell: 'bash' is not absolute"),
        ('name = "ops"\ngroups = ["sudo", "sudo"]', "users[0].groups[1]: 'sudo' is there twice"),
        ('name = "ops"\ngroups = ["S"]', "users[0].groups[0]: 'S' cannot name an account"),
        ('name = "ops"\nsudo = "yes"', "users[0].sudo: expected true or false, found a string"),
        (f'name = "ops"\npassword = "{SECRET}"', "users[0].password: templates carry no passwords"),
        (f'name = "ops"\npasswd = "{SECRET}"', "users[0].passwd: templates carry no passwords"),
        (f'name = "ops"\nhashed_password = "{SECRET}"', "users[0].hashed_password: templates carry no passwords"),
    ],
)
def test_wrong_user(refuse: Refuse, lines: str, said: str) -> None:
    """An account that could not be made, or that asks for a password, is refused."""
    (problem,) = refuse(f'[[images.template.users]]\nssh_keys = ["{KEY}"]\n{lines}\n')
    assert said in problem


@pytest.mark.parametrize("keys", ["", "ssh_keys = []"])
def test_user_without_key(refuse: Refuse, keys: str) -> None:
    """A user whom nobody could log in as is refused."""
    (problem,) = refuse(f'[[images.template.users]]\nname = "ops"\n{keys}\n')
    assert problem.startswith("imagekit.toml:1: images.template.users[0]: needs ssh_keys")


@pytest.mark.parametrize(
    ("key", "said"),
    [
        (f"-----BEGIN OPENSSH PRIVATE KEY-----\\n{SECRET}\\n", "this is a private key"),
        (SECRET, "not one line with a public key"),
        (f"{KEY}\\n{KEY}", "not one line with a public key"),
        (f"no-pty {KEY}", "not one line with a public key"),
        (f"ssh-dss {BLOB}", "not one line with a public key"),
        (f"ssh-rsa {BLOB}", "not a whole ssh-rsa key"),
        (f"ssh-ed25519 {BLOB[:30]}", "not a whole ssh-ed25519 key"),
        (f"ssh-ed25519 {BLOB[:-4]}", "not a whole ssh-ed25519 key"),
        (f"ssh-ed25519 {BLOB}AAAA", "not a whole ssh-ed25519 key"),
        ("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5", "not a whole ssh-ed25519 key"),
        (f"ssh-ed25519 {SECRET}é", "not a whole ssh-ed25519 key"),
        ("ssh-ed25519", "not a whole ssh-ed25519 key"),
        ("", "not one line with a public key"),
    ],
)
def test_wrong_ssh_key(refuse: Refuse, key: str, said: str) -> None:
    """What is not one whole public key is refused, and never shown, since it may be a secret."""
    (problem,) = refuse(f'[[images.template.users]]\nname = "ops"\nssh_keys = ["{key}"]\n')
    assert f"imagekit.toml:3: images.template.users[0].ssh_keys[0]: {said}" in problem


@pytest.mark.parametrize("options", [("-t", "ed25519"), ("-t", "rsa", "-b", "2048"), ("-t", "ecdsa", "-b", "521")])
def test_keys_of_openssh(tmp_path: Path, options: tuple[str, ...]) -> None:
    """What ssh-keygen writes as a public key is taken as it is."""
    run(["ssh-keygen", "-q", "-N", "", "-C", "me here", "-f", str(tmp_path / "key"), *options])
    line = (tmp_path / "key.pub").read_text()
    assert line.split()[0] in SSH_KEY_TYPES
    text = f'[[images.template.users]]\nname = "ops"\nssh_keys = ["""{line}"""]\n'
    (tmp_path / "imagekit.toml").write_text(text)
    assert read_project(tmp_path).find_image("template").users[0].ssh_keys == (line.strip(),)
