"""Logging in as ssh would: whose host key is trusted, which keys are tried, and what is said instead of a question."""

import os
from collections.abc import Callable
from pathlib import Path

import paramiko
import pytest

from imagekit.errors import ExitCode, HostFailed
from imagekit.host import run
from imagekit.host.ssh import HostKey, make_key
from imagekit.host.ssh_login import open_ssh
from imagekit.host.ssh_target import SshTarget
from tests.host.ssh_door import Door, Server

Serve = Callable[[Door], Server]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home with an Ed25519 key of its own, and no agent."""
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    ssh = tmp_path / "home" / ".ssh"
    ssh.mkdir(parents=True, mode=0o700)
    public = make_key(ssh / "id_ed25519")
    (ssh / "id_ed25519.pub").write_text(public)
    return tmp_path / "home"


def _public(home: Path) -> str:
    return (home / ".ssh" / "id_ed25519.pub").read_text().split()[1]


def _know(home: Path, server: Server, key: HostKey | None = None) -> Path:
    file = home / ".ssh" / "known_hosts"
    file.write_text((key or server.host_key).format_known_host("127.0.0.1", server.port))
    return file


def _target(server: Server, **options: object) -> SshTarget:
    return SshTarget("127.0.0.1", "someone", server.port, **options)  # type: ignore[arg-type] # a test's own


def _other_key(tmp_path: Path) -> HostKey:
    kind, blob, _ = make_key(tmp_path / "another").split()
    return HostKey(kind, blob)


@pytest.mark.parametrize("hashed", [False, True])
def test_known_host_lets_itself_be_entered(home: Path, serve: Serve, *, hashed: bool) -> None:
    """A host whose key is in known_hosts, under its name or under the name's hash, is entered with the usual key."""
    server = serve(Door(accepted=_public(home)))
    file = _know(home, server)
    if hashed:
        run(["ssh-keygen", "-q", "-H", "-f", str(file)])
        assert "127.0.0.1" not in file.read_text()
    with open_ssh(_target(server), timeout=10, home=home) as host:
        assert host.host_key == server.host_key


def test_unknown_host_is_refused_with_its_fingerprint(home: Path, serve: Serve) -> None:
    """A key that nobody recorded is shown and not trusted; nothing is recorded."""
    server = serve(Door(accepted=_public(home)))
    with pytest.raises(HostFailed, match="is not known: SHA256:") as problem:
        open_ssh(_target(server), timeout=10, home=home)
    assert f"--host-key {server.host_key.fingerprint}" in str(problem.value.hint)
    assert problem.value.exit_code is ExitCode.HOST
    assert not (home / ".ssh" / "known_hosts").exists()


def test_changed_host_key_is_refused(home: Path, serve: Serve, tmp_path: Path) -> None:
    """Another key than the recorded one is refused, even where new ones are accepted."""
    server = serve(Door(accepted=_public(home)))
    _know(home, server, _other_key(tmp_path))
    with pytest.raises(HostFailed, match="another host key than the one known") as problem:
        open_ssh(_target(server, accept_new=True), timeout=10, home=home)
    assert f"ssh-keygen -R '[127.0.0.1]:{server.port}'" in str(problem.value.hint)


def test_revoked_host_key_is_refused(home: Path, serve: Serve) -> None:
    """A key that is known and marked as revoked is refused, a pinned one too."""
    server = serve(Door(accepted=_public(home)))
    file = _know(home, server)
    file.write_text(file.read_text() + f"@revoked * {server.host_key.type} {server.host_key.base64}\n")
    for pin in ("", server.host_key.fingerprint):
        with pytest.raises(HostFailed, match="marked as revoked"):
            open_ssh(_target(server, host_key=pin), timeout=10, home=home)


def test_given_fingerprint_decides(home: Path, serve: Serve, tmp_path: Path) -> None:
    """A fingerprint that was given is the only one accepted, and is enough without any file."""
    server = serve(Door(accepted=_public(home)))
    open_ssh(_target(server, host_key=server.host_key.fingerprint), timeout=10, home=home).close()
    _know(home, server)
    with pytest.raises(HostFailed, match="another host key than the one given"):
        open_ssh(_target(server, host_key=_other_key(tmp_path).fingerprint), timeout=10, home=home)


def test_new_host_is_recorded_when_asked(home: Path, serve: Serve) -> None:
    """accept_new records the key on a line of its own, private to the operator, and OpenSSH finds it."""
    server = serve(Door(accepted=_public(home)))
    file = home / ".ssh" / "known_hosts"
    file.write_text("# no line end")
    file.chmod(0o600)
    open_ssh(_target(server, accept_new=True), timeout=10, home=home).close()
    assert file.read_text().startswith("# no line end\n[127.0.0.1]:")
    found = run(["ssh-keygen", "-F", f"[127.0.0.1]:{server.port}", "-f", str(file)]).output.decode()
    assert server.host_key.base64 in found
    open_ssh(_target(server), timeout=10, home=home).close()


def test_identity_that_was_given_is_tried_first(home: Path, serve: Serve, tmp_path: Path) -> None:
    """A key file that was named lets us in where the usual ones would not."""
    accepted = make_key(tmp_path / "special").split()[1]
    server = serve(Door(accepted=accepted))
    _know(home, server)
    open_ssh(_target(server, identity=tmp_path / "special"), timeout=10, home=home).close()
    with pytest.raises(HostFailed, match=r"refused every key for someone \(id_ed25519\)"):
        open_ssh(_target(server), timeout=10, home=home)


def test_missing_identity_is_named(home: Path, serve: Serve, tmp_path: Path) -> None:
    """A key file that is not there is an error and not a reason to try others."""
    server = serve(Door(accepted=_public(home)))
    _know(home, server)
    with pytest.raises(HostFailed, match="absent cannot be used"):
        open_ssh(_target(server, identity=tmp_path / "absent"), timeout=10, home=home)


def test_key_behind_a_passphrase_is_not_asked_for(home: Path, serve: Serve, tmp_path: Path) -> None:
    """A locked key is skipped and named in the end."""
    server = serve(Door(accepted="nothing"))
    _know(home, server)
    locked = tmp_path / "locked"
    run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "secret", "-f", str(locked)])
    with pytest.raises(HostFailed, match="locked cannot be read without a passphrase"):
        open_ssh(_target(server, identity=locked), timeout=10, home=home)


def test_password_is_never_asked_for(home: Path, serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that takes passwords only is refused with a sentence."""
    monkeypatch.setattr(Door, "get_allowed_auths", lambda door, name: "password,keyboard-interactive")
    server = serve(Door(password="secret"))
    _know(home, server)
    with pytest.raises(HostFailed, match="by keyboard-interactive, password only") as problem:
        open_ssh(_target(server), timeout=10, home=home)
    assert "ssh-copy-id" in str(problem.value.hint)


def test_second_factor_is_explained(home: Path, serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that wants more than the key is refused with what it wants."""
    server = serve(Door(accepted=_public(home), password="secret"))
    monkeypatch.setattr(Door, "check_auth_publickey", lambda door, name, key: paramiko.common.AUTH_PARTIALLY_SUCCESSFUL)
    _know(home, server)
    with pytest.raises(HostFailed, match="takes the key of someone and wants publickey and password besides"):
        open_ssh(_target(server), timeout=10, home=home)


def test_open_door_is_entered(home: Path, serve: Serve) -> None:
    """A machine that asks for nothing is entered without a key."""
    server = serve(Door(open_door=True))
    _know(home, server)
    (home / ".ssh" / "id_ed25519").unlink()
    host = open_ssh(_target(server), timeout=10, home=home)
    assert host.host_key.fingerprint.startswith("SHA256:")
    host.close()


def test_config_of_ssh_counts(home: Path, serve: Serve, tmp_path: Path) -> None:
    """HostName, Port, User, IdentityFile and HostKeyAlias of ~/.ssh/config are used for what was left open."""
    accepted = make_key(tmp_path / "special").split()[1]
    server = serve(Door(accepted=accepted))
    (home / ".ssh" / "config").write_text(
        f"Host short\n  HostName 127.0.0.1\n  Port {server.port}\n  User someone\n  IdentityFile {tmp_path}/special\n"
        "  HostKeyAlias named\n  IdentitiesOnly yes\n"
    )
    (home / ".ssh" / "known_hosts").write_text(f"named {server.host_key.type} {server.host_key.base64}\n")
    with open_ssh(SshTarget("short"), timeout=10, home=home) as host:
        assert host.where == f"127.0.0.1:{server.port}"


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("ProxyJump other.example", "proxyjump"),
        ("ProxyCommand nc %h %p", "proxycommand"),
        ("Port many", "gives machine.example the port 'many'"),
    ],
)
def test_config_that_cannot_be_followed_is_a_sentence(home: Path, line: str, said: str) -> None:
    """What is not supported is said before anything is connected to."""
    (home / ".ssh" / "config").write_text(f"Host machine.example\n  {line}\n")
    with pytest.raises(HostFailed, match=said):
        open_ssh(SshTarget("machine.example"), timeout=1, home=home)


def test_agent_is_asked(home: Path, serve: Serve, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A key that only the agent has lets us in; a broken agent is none."""
    accepted = make_key(tmp_path / "special").split()[1]
    server = serve(Door(accepted=accepted))
    _know(home, server)
    socket = tmp_path / "agent"
    agent = run(["ssh-agent", "-a", str(socket)]).output.decode()
    number = int(agent.split("SSH_AGENT_PID=")[1].split(";")[0])
    try:
        monkeypatch.setenv("SSH_AUTH_SOCK", str(socket))
        run(["ssh-add", "-q", str(tmp_path / "special")], environment={"SSH_AUTH_SOCK": str(socket)})
        open_ssh(_target(server), timeout=10, home=home).close()
    finally:
        os.kill(number, 15)
    monkeypatch.setenv("SSH_AUTH_SOCK", str(tmp_path / "nobody"))
    with pytest.raises(HostFailed, match="refused every key"):
        open_ssh(_target(server), timeout=10, home=home)


def test_nobody_listens(home: Path) -> None:
    """A machine that is not there is a sentence with exit code 8."""
    with pytest.raises(HostFailed, match="failed while connecting") as problem:
        open_ssh(SshTarget("127.0.0.1", "someone", 1), timeout=2, home=home)
    assert problem.value.exit_code is ExitCode.HOST
