"""SSH as stock images have it, and keys and settings that are meant to be there."""

from pathlib import Path

import pytest

from imagekit.verify import CannotSee, Policy, Profile
from tests.verify.checks.seeing import see
from tests.verify.clean_tree import append, link, remove, replace, write
from tests.verify.dirty.change import CLOUD_INIT_OFF, PRIVATE_KEY, PUBLIC_KEY

CLONE = Policy(profile=Profile.CLONE)
MAIN = "/etc/ssh/sshd_config"
DROP_INS = "/etc/ssh/sshd_config.d"
OWN_KEY = PUBLIC_KEY.replace("packer_1234", "ops@laptop")
KEYGEN = "[Unit]\nConditionFirstBoot=yes\n[Service]\nExecStart=ssh-keygen -A\n"


def test_machine_has_its_keys(tree: Path) -> None:
    """On a clone a host key and a person's key are right."""
    write(tree, "/etc/ssh/ssh_host_ed25519_key", PRIVATE_KEY)
    write(tree, "/root/.ssh/authorized_keys", OWN_KEY)
    assert see(tree, "ssh-host-keys", CLONE) == []
    assert see(tree, "authorized-keys", CLONE) == []
    assert see(tree, "authorized-keys") != []


def test_machine_without_server_is_not_judged(tree: Path) -> None:
    """Without sshd there is no host key to miss."""
    remove(tree, "/usr/sbin/sshd")
    with pytest.raises(CannotSee):
        see(tree, "ssh-host-keys", CLONE)


def test_first_boot_unit_makes_keys_only_on_a_first_boot(tree: Path) -> None:
    """Debian 13's sshd-keygen.service needs ``uninitialized``; with an empty id it is skipped."""
    CLOUD_INIT_OFF(tree)
    write(tree, "/usr/lib/systemd/system/sshd-keygen.service", KEYGEN)
    link(tree, "/etc/systemd/system/ssh.service.wants/sshd-keygen.service", "/lib/systemd/system/sshd-keygen.service")
    assert see(tree, "ssh-host-key-regeneration") != []
    write(tree, "/etc/machine-id", "uninitialized\n")
    assert see(tree, "ssh-host-key-regeneration") == []


def test_red_hat_makes_keys_by_its_target(tree: Path) -> None:
    """sshd.service wants sshd-keygen.target, and the unit for one kind of key exists."""
    CLOUD_INIT_OFF(tree)
    append(tree, "/usr/lib/systemd/system/ssh.service", "[Unit]\nWants=sshd-keygen.target\n")
    write(tree, "/usr/lib/systemd/system/sshd-keygen@.service", "[Service]\nExecStart=/usr/libexec/sshd-keygen %i\n")
    assert see(tree, "ssh-host-key-regeneration") == []


def test_host_key_in_another_place_is_claimed_once(tree: Path) -> None:
    """A key that HostKey names is a host key, not a private key that somebody forgot."""
    append(tree, MAIN, "HostKey /etc/ssh/keys/host.key\nHostKey /etc/ssh/ssh_host_ed25519_key\n")
    write(tree, "/etc/ssh/keys/host.key", PRIVATE_KEY)
    assert [seen.path for seen in see(tree, "ssh-host-keys")] == ["/etc/ssh/keys/host.key"]
    assert see(tree, "private-keys") == []


def test_builder_is_named(tree: Path) -> None:
    """A temporary key of Packer is called by its name, with its fingerprint."""
    write(tree, "/root/.ssh/authorized_keys", f"# none\n\nrestrict {PUBLIC_KEY}")
    (seen,) = see(tree, "authorized-keys")
    assert "Packer" in seen.found
    assert "SHA256:" in seen.found
    assert see(tree, "authorized-keys", Policy(allow_users=("root",))) == []


@pytest.mark.parametrize(
    ("options", "forced"),
    [
        ('no-pty,command="echo \'Please log in as \\"debian\\"\';exit 142" ', True),
        ('from="10.0.0.0/8",Command="rsync" ', True),
        ("restrict ", False),
        ('environment="A=command=" ', False),
        ("", False),
    ],
)
def test_forced_command_is_said(tree: Path, options: str, forced: bool) -> None:
    """A key that may only run its own command, as cloud-init leaves root's, is still a key; the report says which."""
    write(tree, "/root/.ssh/authorized_keys", options + OWN_KEY)
    (seen,) = see(tree, "authorized-keys")
    assert seen.found.endswith(", for one command only") is forced


def test_empty_known_hosts_are_clean(tree: Path) -> None:
    """A file without a host names nobody."""
    write(tree, "/root/.ssh/known_hosts", "# none\n\n")
    assert see(tree, "known-hosts") == []


@pytest.mark.parametrize(
    ("drop_in", "main"),
    [
        ("X11Forwarding no\nMaxAuthTries 3\n", "X11Forwarding yes\nMaxAuthTries 6\n"),
        ("AcceptEnv A\nAllowUsers a\nPort 22\n", "AcceptEnv B\nAllowUsers b\nPort 2222\nSubsystem x y\n"),
        ("KbdInteractiveAuthentication NO\n", "ChallengeResponseAuthentication no\n"),
        ("PermitRootLogin no\n", "PermitRootLogin yes\n"),
    ],
)
def test_drop_in_may_replace_a_default(tree: Path, drop_in: str, main: str) -> None:
    """A drop-in that beats the main file is what drop-ins are for, and some keywords add up."""
    write(tree, f"{DROP_INS}/05-more.conf", drop_in)
    append(tree, MAIN, main)
    assert see(tree, "sshd-shadowed-setting") == []


def test_settings_under_match_shadow_nothing(tree: Path) -> None:
    """A block is for whom it matches."""
    append(tree, MAIN, "Match User b\nX11Forwarding yes\nMatch User c\nX11Forwarding no\n")
    assert see(tree, "sshd-shadowed-setting") == []


def test_main_file_without_include_and_drop_ins_is_clean(tree: Path) -> None:
    """Where nothing waits to be included, nothing is lost."""
    remove(tree, f"{DROP_INS}/00-policy.conf")
    replace(tree, MAIN, "Include", "#Include")
    assert see(tree, "sshd-shadowed-setting") == []


@pytest.mark.parametrize(
    "text",
    [
        "Include /etc/ssh/none/*.conf\nInclude /etc/ssh/absent.conf\nInclude /etc/ssh\n",
        'passwordauthentication=NO\n"PermitRootLogin" no\nStrictModes "yes" # why\n',
        "RSAAuthentication yes\nUsePrivilegeSeparation sandbox\nGSSAPIKexAlgorithms x\nDebianBanner no\n",
        "Match User b\n\tForceCommand /bin/false\n\tAuthorizedKeysFile none\n\tX11Forwarding no\n",
        "Match all\nPermitRootLogin prohibit-password\n",
    ],
)
def test_what_sshd_accepts_is_valid(tree: Path, text: str) -> None:
    """Includes without a match, old keywords, any case and quotes: sshd 9.2 and 10.0 start with all of these."""
    append(tree, MAIN, text)
    assert see(tree, "sshd-config-valid") == []


def test_newer_keyword_is_asked_of_the_program(tree: Path) -> None:
    """A keyword that only the image's own sshd knows is none of the unknown ones."""
    append(tree, MAIN, "FutureOption yes\n")
    assert see(tree, "sshd-config-valid") != []
    write(tree, "/usr/sbin/sshd", b"\x7fELF\0futureoption\0")
    assert see(tree, "sshd-config-valid") == []


def test_server_waits_for_nobody_behind_a_socket(tree: Path) -> None:
    """Ubuntu starts sshd through its socket."""
    remove(tree, "/etc/systemd/system/multi-user.target.wants/ssh.service")
    remove(tree, "/etc/systemd/system/sshd.service")
    write(tree, "/usr/lib/systemd/system/ssh.socket", "[Socket]\nListenStream=22\n")
    link(tree, "/etc/systemd/system/sockets.target.wants/ssh.socket", "/lib/systemd/system/ssh.socket")
    assert see(tree, "ssh-enabled") == []
