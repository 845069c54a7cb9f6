"""What ssh gets: Vagrant's answer, checked and stricter."""

from pathlib import Path

import pytest

from imagekit.build.vagrant.failure import VmFailed
from imagekit.build.vagrant.ssh_config import ALIAS, make_ssh_config
from imagekit.host import run
from tests.build.vagrant.stand_in import RECORDED


def test_recorded_answer_is_made_strict(tmp_path: Path) -> None:
    """ssh itself reads address, key and our own rules from it: the first contact's key is kept and must stay."""
    config = tmp_path / "config"
    config.write_text(make_ssh_config((RECORDED / "ssh-config.txt").read_text(), tmp_path / "a b/known_hosts"))
    said = run(["ssh", "-G", "-F", str(config), ALIAS]).output.decode().splitlines()
    assert {
        "hostname 192.168.121.110",
        "user vagrant",
        "port 22",
        "stricthostkeychecking accept-new",
        f"userknownhostsfile {tmp_path}/a b/known_hosts",
        f"hostkeyalias {ALIAS}",
        "passwordauthentication no",
        "identitiesonly yes",
        "loglevel ERROR",
        "forwardagent no",
    } <= set(said)


def test_other_keywords_are_left_out(tmp_path: Path) -> None:
    """A plugin's answer cannot run programs here or forward an agent."""
    said = (RECORDED / "ssh-config.txt").read_text() + "  LocalCommand touch /tmp/x\n  ForwardAgent yes\n  Include /x\n"
    config = make_ssh_config(said, tmp_path / "known_hosts")
    assert not {"LocalCommand", "ForwardAgent", "Include"} & set(config.split())


@pytest.mark.parametrize("said", ["", "Host x\n  HostName a\n  User b\n", "nonsense"])
def test_answer_without_address_is_refused(said: str, tmp_path: Path) -> None:
    """An answer that does not say where, as whom and by which port is no answer."""
    with pytest.raises(VmFailed, match="does not say how the VM is entered"):
        make_ssh_config(said, tmp_path / "known_hosts")
