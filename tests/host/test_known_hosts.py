"""known_hosts: which lines are about a host, compared with what ssh-keygen says."""

from pathlib import Path

import pytest

from imagekit.errors import HostFailed
from imagekit.host import run
from imagekit.host.known_hosts import read_known_keys, record_key
from imagekit.host.ssh import HostKey, make_key


@pytest.fixture
def key(tmp_path: Path) -> HostKey:
    """A host's key."""
    kind, blob, _ = make_key(tmp_path / "key").split()
    return HostKey(kind, blob)


@pytest.mark.parametrize(
    ("names", "host", "found"),
    [
        ("machine.example", "machine.example", True),
        ("MACHINE.example", "machine.EXAMPLE", True),
        ("other.example,machine.example", "machine.example", True),
        ("machine.example", "[machine.example]:2222", False),
        ("[machine.example]:2222", "[machine.example]:2222", True),
        ("[machine.example]:2222", "machine.example", False),
        ("*.example", "machine.example", True),
        ("machin?.example", "machine.example", True),
        ("*.example,!machine.example", "machine.example", False),
        ("!machine.example,*.example", "machine.example", False),
        ("!other.example", "machine.example", False),
        ("machine.exampl", "machine.example", False),
    ],
)
def test_names_mean_what_openssh_takes_them_for(
    names: str, host: str, key: HostKey, tmp_path: Path, *, found: bool
) -> None:
    """Lists, wildcards, negation and ports are read as ssh-keygen -F reads them."""
    file = tmp_path / "known_hosts"
    file.write_text(f"{names} {key.type} {key.base64} a comment\n")
    assert read_known_keys([file], host).trusted == ((key,) if found else ())
    said = run(["ssh-keygen", "-F", host, "-f", str(file)], check=False)
    assert (said.status == 0) is found


def test_hashed_names_are_found(key: HostKey, tmp_path: Path) -> None:
    """What ssh-keygen -H made unreadable is still found, and only for the right host."""
    file = tmp_path / "known_hosts"
    file.write_text(f"machine.example {key.type} {key.base64}\n[10.0.0.1]:2222 {key.type} {key.base64}\n")
    run(["ssh-keygen", "-q", "-H", "-f", str(file)])
    assert "machine.example" not in file.read_text()
    for host in ("machine.example", "[10.0.0.1]:2222"):
        assert read_known_keys([file], host).trusted == (key,)
    assert read_known_keys([file], "10.0.0.1").trusted == ()


def test_markers_are_told_apart(key: HostKey, tmp_path: Path) -> None:
    """A revoked key is no trusted one, and an authority's key is no host's."""
    file = tmp_path / "known_hosts"
    line = f"* {key.type} {key.base64}\n"
    file.write_text(f"@revoked {line}@cert-authority {line}")
    known = read_known_keys([file], "machine.example")
    assert (known.trusted, known.revoked) == ((), (key,))


def test_lines_without_sense_are_skipped(key: HostKey, tmp_path: Path) -> None:
    """Comments, cuts, strange hashes and broken base64 hide no good line."""
    file = tmp_path / "known_hosts"
    rubbish = "# c\n\nmachine.example\n|1|x|y ssh-ed25519 AAAA\n|1| ssh-ed25519 AAAA\n* ssh-ed25519 A\n@\n* 2048 35 1\n"
    file.write_bytes(rubbish.encode() + b"\xff\xfe\n" + f"* {key.type} {key.base64}\n".encode())
    assert key in read_known_keys([file, tmp_path / "absent"], "machine.example").trusted


def test_unreadable_file_is_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that may not be read is not taken for one that says nothing."""
    file = tmp_path / "known_hosts"
    file.touch()

    def refuse(path: Path, errors: str) -> str:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "read_text", refuse)
    with pytest.raises(HostFailed, match="cannot be read: Permission denied"):
        read_known_keys([file], "machine.example")


def test_recorded_key_is_found_again(key: HostKey, tmp_path: Path) -> None:
    """A key is appended on a line of its own to a private file."""
    file = tmp_path / "new" / "known_hosts"
    record_key(file, "machine.example", key)
    record_key(file, "[machine.example]:2222", key)
    assert file.stat().st_mode & 0o777 == 0o600
    assert len(file.read_text().splitlines()) == 2
    assert read_known_keys([file], "[machine.example]:2222").trusted == (key,)
