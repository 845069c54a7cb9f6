"""What a guest says of itself: good documents, and documents of a guest that means harm."""

import base64
import json
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imagekit.errors import HostFailed
from imagekit.host import run
from imagekit.machine.guest import DOCUMENT_BYTES, GuestFacts, make_nonce, make_script, parse_document

ED25519 = "AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl"
STATUS = {"v1": {"datasource": "DataSourceNoCloud [seed=/dev/sr0]", "modules-final": {"errors": [], "finished": 30.1}}}
RESULT = {"v1": {"datasource": "DataSourceNoCloud [seed=/dev/sr0][dsmode=net]", "errors": []}}
GOOD = {
    "state": "running\n",
    "failed": "",
    "machine_id": "0adaae6505b14e75afeb073f992bebb5\n",
    "hostname": "clone-a\n",
    "kernel": "6.1.0-56-cloud-amd64\n",
    "host_keys": f"ssh-ed25519 {ED25519} root@clone-a\n",
    "cloud_status": json.dumps(STATUS),
    "cloud_result": json.dumps(RESULT),
    "root": "4096 748149\n6158303\n133120\n6291456\n",
    "addresses": "2: enp0s2    inet 10.0.2.15/24 metric 100 brd 10.0.2.255 scope global dynamic enp0s2\n",
    "sshd": "port 22\npasswordauthentication no\npermitrootlogin no\n",
    "agent": "active\n",
    "accounts": "root:x:0:0::/root:/bin/bash\ndebian:x:1000:1000::/home/debian:/bin/bash\nnobody:x:65534:1::/:/x\n",
    "passwords": "",
    "privileged": "yes\n",
}


def _document(values: dict[str, str], nonce: str = "n", before: str = "", after: str = "") -> bytes:
    lines = [f"{name}={base64.b64encode(value.encode()).decode()}" for name, value in values.items()]
    return f"{before}BEGIN-{nonce}\n{chr(10).join(lines)}\nEND-{nonce}\n{after}".encode()


def test_good_document_is_read() -> None:
    """Every value of a healthy guest arrives, sizes in bytes, keys as fingerprints."""
    facts = parse_document(_document(GOOD), "n")
    assert facts.machine_id == "0adaae6505b14e75afeb073f992bebb5"
    assert facts.failed_units == ()
    assert facts.cloud_finished
    assert facts.cloud_errors == ()
    assert "NoCloud" in facts.cloud_datasource
    assert facts.root_bytes == 4096 * 748149
    assert facts.root_device_bytes == 6158303 * 512
    assert facts.unused_bytes == 33 * 512
    assert facts.addresses == ("10.0.2.15",)
    assert facts.sshd["passwordauthentication"] == "no"
    assert facts.accounts == ("debian",)
    assert facts.password_accounts == ()
    assert [key.fingerprint for key in facts.host_keys] == ["SHA256:+DiY3wvvV6TuJJhbpZisF/zLDA0zPMSvHdkr4UvCOqU"]
    json.dumps(facts.describe())


def test_banner_and_chatter_around_it_are_ignored() -> None:
    """A message of the day before and after, even one that looks like a document, changes nothing."""
    fake = _document({"hostname": "evil"}, nonce="other").decode()
    assert parse_document(_document(GOOD, before=fake + "hello\n", after=fake), "n").hostname == "clone-a"


@pytest.mark.parametrize("cut", [b"", b"BEGIN-n\n", b"END-n\n", b"BEGIN-n\nhostname=", b"BEGIN-other\nEND-other\n"])
def test_document_that_is_cut_is_an_error(cut: bytes) -> None:
    """Half an answer is none: it must not look like a guest without failed units."""
    with pytest.raises(HostFailed, match="not complete"):
        parse_document(cut, "n")


def test_document_that_is_too_long_is_an_error() -> None:
    """The size is checked before anything is decoded."""
    with pytest.raises(HostFailed, match="more than"):
        parse_document(b"x" * (DOCUMENT_BYTES + 1), "n")


def test_silence_is_not_good_news() -> None:
    """What was not told is None or empty, never a zero that a check would take for healthy."""
    facts = parse_document(_document({}), "n")
    assert facts == GuestFacts()
    assert facts.failed_units is None
    assert facts.password_accounts is None
    assert facts.root_bytes is None


def test_errors_of_every_stage_are_collected_once() -> None:
    """cloud-init's result repeats what its stages said; newer versions keep errors in other stages too."""
    status = {"v1": {"init": {"errors": ["a"]}, "modules-config": {"errors": ["b", "a"]}, "stage": None}}
    result = {"v1": {"errors": ["b"]}}
    values = {**GOOD, "cloud_status": json.dumps(status), "cloud_result": json.dumps(result)}
    assert parse_document(_document(values), "n").cloud_errors == ("a", "b")


@pytest.mark.parametrize(
    "hostile",
    [
        {"cloud_status": "[" * 100000},
        {"cloud_status": '{"v1": {"init": {"errors": {"a": 1}}, "modules-final": 3}}', "cloud_result": '{"v1": []}'},
        {"cloud_result": '{"v1": {"errors": [' + ",".join(["1"] * 5000) + "]}}"},
        {"root": "-1 99999999999999999999999 x\n"},
        {"root": "4096"},
        {"host_keys": "ssh-ed25519 ???\n\x1b[2J AAAA\nssh-rsa AA\x00AA\n"},
        {"hostname": "\x1b[2J" + "h" * 100000},
        {"failed": "\x1b]0;x\x07evil; rm -rf\n" * 1000},
        {"accounts": "a:b:c\n" + "x\x1b[0m:x:1001:1:::\n" * 5000},
        {"sshd": "k" * 20000},
        {"addresses": " inet 1/2" * 2000},
        {"unknown": "value"},
    ],
)
def test_hostile_values_are_bounded(hostile: dict[str, str]) -> None:
    """A guest that lies, floods or sends escapes is read without an exception, and nothing long or active remains."""
    facts = parse_document(_document({**GOOD, **hostile}), "n")
    said = json.dumps(facts.describe(), ensure_ascii=False)
    assert "\x1b" not in said
    assert len(said) < 32 << 10


@given(st.binary(max_size=2000))
def test_any_bytes_give_facts_or_a_sentence(data: bytes) -> None:
    """Nothing a guest can print raises anything but our own error."""
    try:
        facts = parse_document(b"BEGIN-n\n" + data + b"\nEND-n\n", "n")
    except HostFailed:
        return
    assert isinstance(facts, GuestFacts)


def test_script_is_valid_shell_and_ends_everywhere() -> None:
    """The script runs on any Linux, systemd or not, and always prints a complete document with its nonce."""
    nonce = make_nonce()
    said = run(["/bin/sh", "-c", make_script(nonce, wait_seconds=1)], timeout=60, check=False)
    facts = parse_document(said.output, nonce)
    assert facts.kernel
    assert facts.hostname
    assert sys.platform != "linux" or facts.boot_id
