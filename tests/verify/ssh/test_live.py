"""What a running machine is asked besides its files, and how its answers are read, strange ones too."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imagekit.host import run
from imagekit.host.ssh import make_key
from imagekit.verify.live import LiveFacts
from imagekit.verify.ssh.live import make_questions, read_answers

_ID = "0123456789abcdef0123456789abcdef"
_UUID = "0A1B2C3D-0000-4000-8000-00000000000A"


def _read(**answers: str) -> LiveFacts:
    text = "".join(f"\nmark {name.replace('_', '-')}\n{said}" for name, said in answers.items())
    return read_answers(f"a banner\n{text}\nmark end\n".encode(), "mark", (), privileged=True)


def test_answers_are_read(tmp_path: Path) -> None:
    """Each answer becomes its fact."""
    public = make_key(tmp_path / "key")
    facts = _read(
        user="root\n",
        hostname="one\n",
        machine_id=f"{_ID}\n",
        boot_id=f"{_UUID.lower()}\n",
        product_uuid=f"{_UUID}\n",
        failed_units="a.service loaded failed failed A\nb.mount loaded failed failed B\n",
        system_state="degraded\n",
        sshd="port 22\npasswordauthentication no\n",
        addresses=(
            "1: lo    inet 127.0.0.1/8 scope host lo\n2: eth0    inet 192.0.2.7/24 brd 192.0.2.255 scope global eth0\n"
            "2: eth0    inet6 2001:db8::7/64 scope global\n"
        ),
        host_keys=f"{public}\nrubbish\n",
        root="Filesystem 1024-blocks Used Available Capacity Mounted on\n/dev/sda1 1000 10 990 1% /\n",
        disk="part  1048576\ndisk  4194304\n",
    )
    assert facts.failed_units == ("a.service", "b.mount")
    assert (facts.system_state, facts.user, facts.hostname, facts.machine_id) == ("degraded", "root", "one", _ID)
    assert (facts.boot_id, facts.product_uuid) == (_UUID.lower(), _UUID.lower())
    assert facts.sshd_config == ("port 22", "passwordauthentication no")
    assert facts.addresses == ("192.0.2.7", "2001:db8::7")
    assert (facts.root_bytes, facts.disk_bytes) == (1000 << 10, 4 << 20)
    (tmp_path / "key.pub").write_text(public)
    shown = run(["ssh-keygen", "-l", "-f", str(tmp_path / "key.pub")]).output.decode().split()[1]
    assert facts.host_keys == (f"ssh-ed25519 {shown}",)


def test_nothing_said_is_nothing_known() -> None:
    """A machine that answers nothing has empty facts, and sshd's policy is unknown rather than empty."""
    facts = read_answers(b"", "mark", ("/etc/machine-id",), privileged=False)
    assert facts == LiveFacts((), "", "", None, 0, 0, mounted_over=("/etc/machine-id",))


@pytest.mark.parametrize(
    ("said", "status", "errors"),
    [
        ('{"status": "done", "errors": []}', "done", ()),
        ('{"status": "done", "extended_status": "degraded done", "errors": []}\nstatus: done', "degraded done", ()),
        ('{"status": "error", "errors": ["no datasource"]}', "error", ("no datasource",)),
        ("status: running\ndetail:\nnot yet", "running", ()),
        ("", "", ()),
        ("{", "", ()),
        ("{}", "", ()),
        ('{"status": 3, "errors": "many"}', "3", ()),
        ('{"errors":' * 5000, "", ()),
        ("usage: cloud-init", "", ()),
    ],
)
def test_status_of_cloud_init(said: str, status: str, errors: tuple[str, ...]) -> None:
    """The JSON of new versions and the text of old ones are read, and nonsense is not."""
    facts = _read(cloud_init=said)
    assert (facts.cloud_init, facts.cloud_init_errors) == (status, errors)


@pytest.mark.parametrize("text", ["short", "x" * 32, f"{_ID}\n{_ID}", "\x1b[31m" + _ID])
def test_ids_have_their_form(text: str) -> None:
    """What is no id is not taken for one."""
    facts = _read(machine_id=text, boot_id=text, product_uuid=text)
    assert (facts.machine_id, facts.boot_id, facts.product_uuid) == ("", "", "")


@given(st.binary(max_size=300), st.sampled_from(["failed-units", "addresses", "host-keys", "root", "disk", "sshd"]))
def test_any_bytes_end_in_facts(said: bytes, name: str) -> None:
    """Nothing that a machine says raises anything."""
    facts = read_answers(b"\nmark %s\n%s\nmark end\n" % (name.encode(), said), "mark", (), privileged=False)
    assert facts.machine_id == ""
    assert facts.root_bytes >= 0
    assert facts.disk_bytes >= 0


@pytest.mark.parametrize("sudo", [False, True])
def test_questions_run_in_a_shell(tmp_path: Path, *, sudo: bool) -> None:
    """The script ends well under a POSIX shell, says something to the questions that any machine can answer, and
    leaves nothing behind."""
    output = run(["/bin/sh", "-c", make_questions("mark", sudo=sudo)], directory=tmp_path, timeout=60).output
    facts = read_answers(output, "mark", (), privileged=True)
    assert facts.hostname == Path("/proc/sys/kernel/hostname").read_text().strip()
    assert facts.boot_id == Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    assert facts.root_bytes > 0
    assert output.endswith(b"\nmark end\n")
    assert list(tmp_path.iterdir()) == []
