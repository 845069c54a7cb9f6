"""A real OpenSSH server on this machine's own files: what is seen as root, with sudo and without, and left behind.

The server runs in a mount namespace (unshare(1)), where accounts, sudo's rules, ``/root``, ``/tmp`` and ``/run`` are
the test's own.
"""

import os
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from imagekit.errors import HostFailed
from imagekit.host import run, start
from imagekit.host.local import end
from imagekit.host.ssh import answers_ssh, make_key
from imagekit.host.ssh_target import SshTarget
from imagekit.progress import Event
from imagekit.verify import Policy, Profile, list_checks, verify_directory
from imagekit.verify.check import Subject, shows_image
from imagekit.verify.ssh.rounds import MOST_ROUNDS
from imagekit.verify.ssh.run import verify_ssh
from imagekit.verify.ssh.view import collect_machine
from tests.namespace import unshare_mounts

pytestmark = pytest.mark.integration

_EVERYTHING = "Defaults env_reset, use_pty\ntester ALL=(ALL:ALL) NOPASSWD: ALL\n"
_MOUNTS = """\
set -e
exec 2>{files}/log
mount --bind {files} /mnt
mount -t tmpfs tmpfs /run
mkdir /run/sshd
mount --bind /mnt/root /root
mount --bind /mnt/tmp /tmp
mount -t overlay -o ro,lowerdir=/mnt/etc:/etc overlay /etc
"""
_OTHER_ID = "mount --bind /mnt/machine-id /etc/machine-id\n"
_NO_PYTHON = """\
for name in /usr/bin/python3 /usr/local/bin/python3; do [ ! -e $name ] || mount --bind /dev/null $name; done
"""
_CONFIG = """
Port {port}
ListenAddress 127.0.0.1
HostKey /mnt/host_key
AuthorizedKeysFile /mnt/authorized_keys
StrictModes no
PidFile none
UsePAM no
PermitRootLogin yes
"""


class Sshd:
    """Servers that a test starts; ``files`` is what they see as ``/mnt``, ``home`` holds the key that enters them."""

    def __init__(self, files: Path) -> None:
        self.files = files
        self.home = files / "operator"
        self.running: list[object] = []
        (self.home / ".ssh").mkdir(parents=True, mode=0o700)
        for name in ("root", "tmp", "tester", "etc"):
            (files / name).mkdir()
        (files / "tmp").chmod(0o1777)
        os.chown(files / "tester", 4242, 4242)
        files.chmod(0o755)
        (files / "authorized_keys").write_text(make_key(self.home / ".ssh" / "id_ed25519") + "\n")
        make_key(files / "host_key")
        account = "tester:x:4242:4242::/mnt/tester:/bin/sh\n"
        (files / "etc" / "passwd").write_text(Path("/etc/passwd").read_text() + account)
        (files / "etc" / "shadow").write_text(Path("/etc/shadow").read_text() + "tester:*:19000::::::\n")
        (files / "etc" / "shadow").chmod(0o600)

    def start(self, *, sudoers: str = "", machine_id: str = "", python: bool = True) -> int:
        """Start one and return its port."""
        steps = _MOUNTS.format(files=self.files)
        if sudoers:
            (self.files / "etc" / "sudoers").write_text(sudoers)
            (self.files / "etc" / "sudoers").chmod(0o440)
        if machine_id:
            (self.files / "machine-id").write_text(machine_id)
            (self.files / "etc" / "machine-id").touch()  # to mount over: a container may have none
            steps += _OTHER_ID
        steps += "" if python else _NO_PYTHON
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = int(free.getsockname()[1])
        (self.files / "sshd_config").write_text(_CONFIG.format(port=port))
        script = f"{steps}exec /usr/sbin/sshd -D -e -f /mnt/sshd_config"
        self.running.append(start([*unshare_mounts(), "/bin/sh", "-c", script]))
        deadline = time.monotonic() + 20
        while not answers_ssh("127.0.0.1", port, 1):
            assert time.monotonic() < deadline, (self.files / "log").read_text()
            time.sleep(0.05)
        return port


@pytest.fixture
def sshd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Sshd]:
    """Servers of the test, ended with it; the operator has a home of his own and no agent."""
    servers = Sshd(tmp_path)
    monkeypatch.setenv("HOME", str(servers.home))
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    yield servers
    for each in servers.running:
        end(each)


def _target(port: int, user: str = "root") -> SshTarget:
    return SshTarget("127.0.0.1", user, port, accept_new=True)


def _find_round_trips(events: list[Event]) -> int:
    return max(event.done for event in events if event.unit == "round trips")


def _list_files(*tops: Path) -> dict[str, tuple[int, int]]:
    """Return time and size of everything below directories that nobody else writes to."""
    found = {}
    for top in tops:
        for place, folders, names in os.walk(top):
            for name in (*folders, *names):
                status = os.lstat(Path(place) / name)
                found[f"{place}/{name}"] = (status.st_mtime_ns, status.st_size)
    return found


@pytest.mark.parametrize("profile", [Profile.CLONE, Profile.TEMPLATE])
def test_real_machine_is_verified_and_left_as_it_was(profile: Profile, sshd: Sshd) -> None:
    """All checks of a profile run end to end within 12 round trips; no file appears or changes, not even in /tmp."""
    port = sshd.start()
    tops = (sshd.files / "root", sshd.files / "tmp", sshd.files / "tester", Path("/usr/lib/python3"), Path("/etc/ssh"))
    before = _list_files(*tops)
    events: list[Event] = []
    report = verify_ssh(_target(port), Policy(profile=profile), progress=events.append)
    assert _list_files(*tops) == before
    assert 2 < _find_round_trips(events) <= MOST_ROUNDS
    assert report.view == "ssh"
    assert report.profile == profile.value
    judged = {*report.passed, *(each.check for each in report.findings), *(each.check for each in report.not_observed)}
    about_images = {check.id for check in list_checks(profile.value) if check.applies is shows_image}
    assert about_images <= judged
    assert len(report.passed) > len(report.not_observed)


def test_verdicts_are_those_of_the_directory(sshd: Sshd) -> None:
    """What this machine's files say is the same over SSH as when they are read in place."""
    policy = Policy(profile=Profile.CLONE)
    subjects = (Subject.IDENTITY, Subject.SSH, Subject.CLOUD_INIT, Subject.PACKAGES)
    checks = {check.id for check in list_checks("clone") if check.subject in subjects}

    collected = verify_ssh(_target(sshd.start()), policy)
    direct = verify_directory(Path("/"), policy)
    checks -= {each.check for each in direct.not_observed}  # the running machine tells more
    assert [each for each in collected.findings if each.check in checks] == [
        each for each in direct.findings if each.check in checks
    ]
    assert set(collected.passed) & checks == set(direct.passed) & checks


def _collect(sshd: Sshd, port: int, user: str) -> tuple[bytes | None, bool]:
    """Return what is seen of /etc/shadow, and whether the collector had root's rights."""
    opened = collect_machine(_target(port, user), Policy(), home=sshd.home)
    return opened.view.tree.read("/etc/group"), opened.view.live().privileged


@pytest.mark.parametrize(
    ("sudoers", "privileged"),
    [
        (_EVERYTHING, True),
        ("tester ALL=(ALL:ALL) ALL\n", False),
        ("tester ALL=(ALL:ALL) NOPASSWD: /usr/bin/true\n", False),
        ("root ALL=(ALL:ALL) ALL\n", False),
        (f"Defaults requiretty\n{_EVERYTHING}", False),
    ],
)
def test_rights_come_from_sudo_without_a_password(sudoers: str, sshd: Sshd, *, privileged: bool) -> None:
    """Without root's rights the checks of secrets are not observed and say what they would need; nobody is asked."""
    port = sshd.start(sudoers=sudoers)
    text, is_root = _collect(sshd, port, "tester")
    assert text == Path("/etc/group").read_bytes()
    assert is_root is privileged
    report = verify_ssh(_target(port, "tester"), Policy(profile=Profile.CLONE))
    denied = {each.check for each in report.not_observed if "as root or with passwordless sudo" in each.reason}
    assert ("account-passwords" in denied) is not privileged


def test_machine_id_that_is_mounted_over_is_said(sshd: Sshd) -> None:
    """A machine-id in memory over the real one: the file is not seen, the running machine's id is told."""
    port = sshd.start(machine_id="0123456789abcdef0123456789abcdef\n")
    opened = collect_machine(_target(port), Policy(), home=sshd.home)
    assert opened.view.live().machine_id == "0123456789abcdef0123456789abcdef"
    assert "/etc/machine-id" in opened.view.live().mounted_over
    report = verify_ssh(_target(port), Policy())
    reasons = [each.reason for each in report.not_observed if each.check == "machine-id"]
    assert reasons == ["something is mounted over /etc/machine-id: the file on the disk is not seen"]


def test_live_facts_are_those_of_this_machine(sshd: Sshd) -> None:
    """Name, boot id, size of the root and the server's effective policy are what this machine says itself."""
    live = collect_machine(_target(sshd.start()), Policy(), home=sshd.home).view.live()
    assert live.hostname == socket.gethostname()
    assert live.boot_id == Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    root = os.statvfs("/")
    assert abs(live.root_bytes - root.f_blocks * root.f_frsize) <= 1024
    assert live.user == "root"
    assert live.sshd_config is not None
    assert any(line.startswith("permitrootlogin ") for line in live.sshd_config)
    shown = run(["sh", "-c", "cat /etc/ssh/ssh_host_*_key.pub | ssh-keygen -l -f -"]).output.decode().split()
    assert [key.split()[1] for key in live.host_keys] == [word for word in shown if word.startswith("SHA256:")]


def test_machine_without_python_is_a_sentence(sshd: Sshd) -> None:
    """A machine that has no Python 3 is refused with what to do."""
    with pytest.raises(HostFailed, match="has no Python 3") as problem:
        verify_ssh(_target(sshd.start(python=False)))
    assert "install python3" in str(problem.value.hint)


def test_machine_is_not_its_own_twin(sshd: Sshd) -> None:
    """Two addresses of one machine are noticed before anybody calls it a twin."""
    port = sshd.start()
    report = verify_ssh(_target(port), against=_target(port))
    reasons = [each.reason for each in report.not_observed if each.check == "clone-twins"]
    assert reasons == ["both addresses lead to the same machine"]


@pytest.fixture
def noisy(sshd: Sshd) -> Callable[[str], int]:
    """Start a server whose shell says something before it obeys."""

    def begin(profile: str) -> int:
        (sshd.files / "noise").write_text(f'#!/bin/sh\n{profile}\nexec /bin/sh "$@"\n')
        (sshd.files / "noise").chmod(0o755)
        passwd = (sshd.files / "etc" / "passwd").read_text()
        (sshd.files / "etc" / "passwd").write_text(passwd.replace("/mnt/tester:/bin/sh", "/mnt/tester:/mnt/noise"))
        return sshd.start(sudoers=_EVERYTHING)

    return begin


def test_banner_before_the_answers_is_skipped(noisy: Callable[[str], int], sshd: Sshd) -> None:
    """Whatever a shell prints at the start is not taken for an answer."""
    port = noisy("seq 1 50000; echo oops >&2; printf 'no line end'")
    assert _collect(sshd, port, "tester") == (Path("/etc/group").read_bytes(), True)


def test_endless_banner_is_cut(noisy: Callable[[str], int]) -> None:
    """A shell that never stops talking is given up."""
    with pytest.raises(HostFailed, match="talks without answering"):
        verify_ssh(_target(noisy("yes"), "tester"))
