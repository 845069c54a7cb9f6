"""Credentials: what looks like one and is none, what a narrow check keeps from a broad one, and what was not read."""

import os
import time
from pathlib import Path

import pytest

from imagekit.report import Report, Severity
from imagekit.verify import Policy, Profile, list_checks, verify_directory
from imagekit.verify.facts import small_files
from imagekit.verify.facts.small_files import PLACES
from tests.verify.clean_tree import append, link, write
from tests.verify.dirty.change import HASH, PRIVATE_KEY
from tests.verify.dirty.credentials import GITHUB_TOKEN, PVE_TOKEN, WHOLE_KEY

OURS = {"cli-credentials", "tls-private-keys", "secret-strings", "network-secrets", "vcs-leftovers", "private-keys"}


def found_by(report: Report, check: str) -> list[tuple[str, str]]:
    """Return path and text of a check's findings."""
    return [(finding.path, finding.found) for finding in report.findings if finding.check == check]


@pytest.mark.parametrize(
    ("path", "content"),
    [
        ("/root/.docker/config.json", '{"auths": {}}'),
        ("/root/.docker/config.json", '{"auths": {"r.example": {}}, "credsStore": "pass"}'),
        ("/root/.config/containers/auth.json", "{}"),
        ("/root/.npmrc", "fund=false\n"),
        ("/root/.netrc", "# password later\nmachine h login u\n"),
        ("/root/.aws/credentials", ""),
        ("/root/.my.cnf", "[client]\nuser=u\n# password=x\n"),
        ("/root/.pgpass", "# host:port:db:user:password\n"),
        ("/root/.gnupg/pubring.kbx", "keys of others"),
        ("/root/.config/gcloud/logs/a.log", "text"),
        ("/etc/ssl/certs/ca.pem", "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"),
        ("/etc/ssl/private/README", "put keys here, they begin with -----BEGIN PRIVATE KEY-----\n"),
        ("/etc/ppp/pap-secrets", '# client server secret\n*\thostname\t""\t*\nguest\thostname\t"*"\t-\n'),
        ("/etc/ppp/chap-secrets", "# Secrets for authentication using CHAP\n"),
        ("/etc/NetworkManager/system-connections/a", "[wifi-security]\npsk-flags=1\nkey-mgmt=wpa-psk\npsk=\n"),
        ("/etc/NetworkManager/system-connections/a", "[802-1x]\nprivate-key=/etc/ssl/private/none.key\n"),
        ("/etc/netplan/a.yaml", "network:\n  # password: none\n  version: 2\n"),
        ("/etc/wpa_supplicant/a.conf", 'network={\n ssid="open"\n key_mgmt=NONE\n}\n'),
        ("/etc/openvpn/a.conf", "client\nauth-user-pass\n"),
        ("/etc/openvpn/a.conf", "auth-user-pass absent\n"),
        ("/opt/app/main.go", 'const begin = "-----BEGIN RSA PRIVATE KEY-----"\n'),
        ("/opt/app/manual.txt", "Header PVEAPIToken=USER@REALM!TOKENID=UUID, see AKIAIOSFODNN7EXAMPLE\n"),
        ("/opt/app/lib/node_modules/tls/test/agent.key", WHOLE_KEY),
        ("/usr/local/lib/python3.11/dist-packages/x/test.py", f"token = {GITHUB_TOKEN!r}\n"),
        ("/usr/local/bin/program", b"\x7fELF\0\0" + GITHUB_TOKEN.encode()),
        ("/etc/systemd/system/a.service", "[Service]\nEnvironment=PASSWORD=\nEnvironment=TOKEN=${TOKEN_FILE}\n"),
        ("/etc/systemd/system/a.service", "[Unit]\nDescription=password: agents\n"),
        ("/srv/git/.git/objects/aa/bb", GITHUB_TOKEN),
    ],
)
def test_innocent_file_passes(tree: Path, path: str, content: str | bytes) -> None:
    """Empty logins, examples, references to files, test keys of libraries and programs are no secrets."""
    write(tree, path, content)
    assert {each.check for each in verify_directory(tree).findings} & OURS == set()


def test_ssh_remote_is_no_login(tree: Path) -> None:
    """A remote reached by SSH has a user in its address, and that is no secret."""
    write(
        tree, "/srv/a/.git/config", '[remote "o"]\n url = ssh://git@git.example/a\n[remote "p"]\n url = git@h:a.git\n'
    )
    (finding,) = verify_directory(tree).findings
    assert (finding.check, finding.severity) == ("vcs-leftovers", Severity.INFO)


@pytest.mark.parametrize(
    ("path", "content", "check"),
    [
        ("/root/.netrc", f"machine h login u password {GITHUB_TOKEN}\n", "cli-credentials"),
        ("/root/.bash_history", f"export T={GITHUB_TOKEN}\n", "shell-history"),
        ("/root/.ssh/id_rsa", WHOLE_KEY, "private-keys"),
        ("/opt/notes.txt", WHOLE_KEY, "private-keys"),
        ("/etc/ssh/ssh_host_rsa_key", WHOLE_KEY, "ssh-host-keys"),
        ("/etc/nginx/site.conf", WHOLE_KEY, "tls-private-keys"),
        ("/etc/apt/auth.conf", f"machine h login u password {GITHUB_TOKEN}\n", "repo-credentials"),
        ("/etc/netplan/a.yaml", f"network:\n  wifis: {{w*: {{password: {GITHUB_TOKEN}}}}}\n", "network-secrets"),
        ("/etc/shadow~", f"root:{HASH}:19000:0:99999:7:::\n", "account-backups"),
        ("/srv/a/.git/config", f"url = https://{GITHUB_TOKEN}@git.example/a\n", "vcs-leftovers"),
    ],
)
def test_narrow_check_claims_its_file(tree: Path, path: str, content: str, check: str) -> None:
    """A file that a narrow check reports is not reported again by secret-strings."""
    write(tree, path, content)
    assert {each.check for each in verify_directory(tree).findings if each.path == path} == {check}


def test_secret_is_told_by_kind_length_and_fingerprint(tree: Path) -> None:
    """Evidence lets the owner recognize the token and nobody else use it."""
    write(tree, "/usr/local/bin/job", f"x={GITHUB_TOKEN}\ny={PVE_TOKEN}\n")
    ((path, found),) = found_by(verify_directory(tree), "secret-strings")
    assert path == "/usr/local/bin/job"
    assert "GitHub token, 40 bytes, sha256 " in found
    assert "Proxmox VE API token" in found
    assert "Canary" not in found


def test_key_needs_no_telling_name(tree: Path) -> None:
    """A whole private key is found in a file of any name."""
    write(tree, "/home/deploy/notes", f"keep this:\n{WHOLE_KEY}")
    assert found_by(verify_directory(tree), "private-keys") == [("/home/deploy/notes", "a private key")]


def test_home_outside_of_home_is_searched(tree: Path) -> None:
    """A person's home may lie anywhere."""
    append(tree, "/etc/passwd", "ci:x:1001:1001::/var/lib/ci:/bin/sh\n")
    write(tree, "/var/lib/ci/.env", f"T={GITHUB_TOKEN}\n")
    assert [path for path, _ in found_by(verify_directory(tree), "secret-strings")] == ["/var/lib/ci/.env"]


@pytest.mark.parametrize(
    ("field", "reason"),
    [({"entries": 40}, "40 files"), ({"files": 10}, "10 files"), ({"total": 500}, "0 MiB")],
)
def test_unread_rest_is_not_observed(
    tree: Path, monkeypatch: pytest.MonkeyPatch, field: dict[str, int], reason: str
) -> None:
    """What the budget leaves unread is not observed, and a deep verification reads it."""
    from dataclasses import replace

    monkeypatch.setattr(small_files, "_QUICK", replace(small_files._QUICK, **field))
    report = verify_directory(tree)
    blind = {each.check: each.reason for each in report.not_observed}
    assert reason in blind["secret-strings"]
    assert "secret-strings" not in report.passed
    assert "secret-strings" in verify_directory(tree, Policy(deep=True)).passed


def test_unreadable_file_is_not_observed(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that this user may not read makes the searches incomplete, not clean, and hides no finding."""
    write(tree, "/opt/closed", "x")
    write(tree, "/srv/open", f"T={GITHUB_TOKEN}\n")
    real = os.open

    def refuse(path: object, *rest: object, **options: object) -> int:
        if path == "closed":
            raise PermissionError(13, "Permission denied", "closed")
        return real(path, *rest, **options)  # type: ignore[arg-type]  # handed on as it came

    monkeypatch.setattr(os, "open", refuse)
    report = verify_directory(tree)
    assert [path for path, _ in found_by(report, "secret-strings")] == ["/srv/open"]
    blind = {each.check for each in report.not_observed}
    assert {"secret-strings", "private-keys", "vcs-leftovers"} <= blind
    assert "tls-private-keys" in report.passed


def test_file_over_the_limit_is_for_deep(tree: Path) -> None:
    """Files above 256 KiB are read by a deep verification only."""
    write(tree, "/opt/dump.sql", "x" * (300 << 10) + f" {GITHUB_TOKEN}")
    assert found_by(verify_directory(tree), "secret-strings") == []
    assert len(found_by(verify_directory(tree, Policy(deep=True)), "secret-strings")) == 1


def test_places_may_be_links(tree: Path) -> None:
    """A /home that is a link is followed inside the tree."""
    (tree / "home").rmdir()
    write(tree, "/var/home/ops/.env", f"T={GITHUB_TOKEN}\n")
    link(tree, "/home", "var/home")
    assert [path for path, _ in found_by(verify_directory(tree), "secret-strings")] == ["/var/home/ops/.env"]


def test_matches_at_the_borders_of_files_stay_apart(tree: Path) -> None:
    """Files are searched together, yet a token cut in two by a file's end is none."""
    write(tree, "/opt/a", GITHUB_TOKEN[:20])
    write(tree, "/opt/b", GITHUB_TOKEN[20:])
    assert found_by(verify_directory(tree), "secret-strings") == []


def test_card_without_accounts_is_searched(tree: Path) -> None:
    """An image whose /etc/passwd is made at first boot is still searched for secrets."""
    (tree / "etc/passwd").unlink()
    write(tree, "/etc/wifi", f"T={GITHUB_TOKEN}\n")
    report = verify_directory(tree, Policy(profile=Profile.SD_IMAGE))
    assert [path for path, _ in found_by(report, "secret-strings")] == ["/etc/wifi"]


@pytest.mark.parametrize(
    "content",
    [
        b"\n" * (256 << 10),
        b" " * (256 << 10),
        b"-----BEGIN " * 20_000,
        b"-----BEGIN PRIVATE KEY-----\n" * 9_000,
        b"PrivateKey = " * 20_000,
        b":$6$" * 60_000,
        b"url = https://" * 18_000,
        b'"auth" : ' * 25_000,
        b"{" * (256 << 10),
        b"chain a { hook input " * 12_000,
    ],
    ids=lambda content: repr(content[:16]),
)
def test_hostile_text_costs_little(tree: Path, content: bytes) -> None:
    """No text makes a pattern run away, wherever it stands."""
    for path in (
        "/root/.docker/config.json", "/root/.netrc", "/root/.my.cnf", "/root/.ssh/id_x", "/srv/a/.git/config",
        "/etc/ipsec.secrets", "/etc/openvpn/a.conf", "/etc/netplan/a.yaml", "/etc/nftables.conf", "/etc/wgetrc",
        "/etc/systemd/network/a.network", "/etc/dhcp/dhclient.conf", "/var/lib/dhcp/a.leases", "/preseed.cfg",
        "/etc/ufw/user.rules", "/etc/doas.conf", "/etc/polkit-1/rules.d/a.rules", "/etc/environment",
    ):  # fmt: skip
        write(tree, path, content)
    for unit in ("nftables", "ufw"):
        write(tree, f"/usr/lib/systemd/system/{unit}.service", "[Service]\n")
        link(tree, f"/etc/systemd/system/a.target.wants/{unit}.service", f"/usr/lib/systemd/system/{unit}.service")
    started = time.monotonic()
    report = verify_directory(tree)
    assert time.monotonic() - started < 10
    assert report.passed


def test_key_header_after_other_text_is_seen(tree: Path) -> None:
    """A key that follows its certificate in one file is found."""
    write(tree, "/etc/ssl/bundle.pem", "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n" + PRIVATE_KEY)
    assert found_by(verify_directory(tree), "tls-private-keys") == [("/etc/ssl/bundle.pem", "a private key")]


def test_running_machine_may_hold_its_own_credentials() -> None:
    """On a clone people's logins, keys and networks are their own; a card is searched like a template."""
    on_clones = {check.id for check in list_checks("clone")}
    assert not on_clones & (OURS | {"mail-spool", "cron-spool", "dhcp-leases", "net-bound"})
    assert {check.id for check in list_checks("sd-image")} >= OURS
    assert len(PLACES) == 6
