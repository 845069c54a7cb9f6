"""Accounts, modes and secrets of the build: what stock images have, and what turns around on a running machine."""

import gzip
import os
from pathlib import Path

import pytest

from imagekit.report import Severity
from imagekit.verify import Policy, Profile, verify_directory, verify_disk
from tests.verify.clean_tree import ROOT_OFFSET, append, make_root_filesystem, splice, write
from tests.verify.dirty.change import HASH, PRIVATE_KEY

CLONE = Policy(profile=Profile.CLONE)


def checks_of(tree: Path, policy: Policy | None = None) -> set[str]:
    """Return the ids that have findings."""
    return {finding.check for finding in verify_directory(tree, policy).findings}


@pytest.mark.parametrize(
    ("path", "content"),
    [
        (
            "/etc/pam.d/su",
            "auth sufficient pam_rootok.so\n# auth sufficient pam_wheel.so trust\n@include common-auth\n",
        ),
        ("/etc/pam.d/su", "auth required pam_wheel.so use_uid\naccount required pam_permit.so\n"),
        ("/etc/pam.d/common-auth", "auth\trequired\t\t\tpam_permit.so\n"),
        (
            "/etc/polkit-1/rules.d/50-default.rules",
            'polkit.addAdminRule(function() { return ["unix-group:wheel"]; });\n',
        ),
        ("/etc/polkit-1/rules.d/10.rules", "// return polkit.Result.YES;\nreturn polkit.Result.AUTH_ADMIN;\n"),
        ("/etc/doas.conf", "permit persist :wheel\npermit nopass root\n# permit nopass bob\n"),
        ("/etc/passwd-", "root:x:0:0:root:/root:/bin/bash\nold:x:1000:1000::/home/old:/bin/sh\n"),
        ("/etc/shadow-", "root:*:19500:0:99999:7:::\nold:!:1::::::\n"),
        ("/etc/passwd.conf", "a=b\n"),
        ("/var/backups/dpkg.status.1.gz", gzip.compress(b"Package: a\n", mtime=0)),
        ("/etc/environment", 'PATH="/usr/bin"\nno_proxy=localhost\nhttp_proxy=""\n'),
        ("/etc/wgetrc", "#http_proxy = http://proxy.example:18023/\n#use_proxy = on\npassive_ftp = on\n"),
        ("/etc/apt/auth.conf.d/README", "# nothing\n"),
        ("/etc/yum.repos.d/a.repo", "[a]\nbaseurl=https://r.example/\ngpgcheck=1\n"),
        ("/etc/docker/daemon.json", '{"log-driver": "journald", "proxies": {}}'),
        ("/etc/systemd/system/a.service.d/x.conf", "[Service]\nEnvironment=NO_PROXY=a\n# Environment=HTTP_PROXY=b\n"),
    ],
)
def test_stock_file_passes(tree: Path, path: str, content: str | bytes) -> None:
    """Package defaults, comments, backups without hashes and empty settings are clean."""
    write(tree, path, content)
    assert checks_of(tree) == set()


def test_red_hats_accounts_of_group_root_pass(tree: Path) -> None:
    """sync, shutdown, halt and operator have gid 0 on Red Hat's family, and no login."""
    append(tree, "/etc/passwd", "halt:x:7:0:halt:/sbin:/sbin/halt\noperator:x:11:0:operator:/root:/sbin/nologin\n")
    assert checks_of(tree) == set()


def test_allowed_user_may_be_in_docker(tree: Path) -> None:
    """Groups of a user whom the definition names are meant; on a clone they are the owner's word."""
    append(tree, "/etc/passwd", "ops:x:1000:1000::/home/ops:/bin/bash\n")
    append(tree, "/etc/group", "docker:x:990:ops\n")
    assert "other-escalation" in checks_of(tree)
    assert checks_of(tree, Policy(allow_users=("ops",))) == set()
    assert "other-escalation" not in checks_of(tree, CLONE)


def test_primary_group_counts(tree: Path) -> None:
    """A person whose own group is docker is a member without being listed."""
    append(tree, "/etc/group", "docker:x:990:\n")
    append(tree, "/etc/passwd", "ops:x:1000:990::/home/ops:/bin/bash\n")
    assert "other-escalation" in checks_of(tree)


def test_hash_of_an_existing_account_in_a_backup_is_its_own(tree: Path) -> None:
    """The backup's hash of root is account-passwords'; that of a removed account is account-backups'."""
    write(tree, "/etc/shadow-", f"root:{HASH}:1::::::\n")
    assert checks_of(tree) == {"account-passwords"}
    write(tree, "/etc/shadow-", f"gone:!{HASH}:1::::::\n")
    assert checks_of(tree) == {"account-backups"}


@pytest.mark.parametrize("content", [b"\x1f\x8b\x08broken", gzip.compress(bytes(8 << 20), mtime=0), b""])
def test_broken_or_swollen_archive_is_harmless(tree: Path, content: bytes) -> None:
    """A damaged or endless archive of account data is a copy, and costs no more than its first MiB."""
    write(tree, "/var/backups/shadow.bak.1.gz", content)
    (finding,) = verify_directory(tree).findings
    assert (finding.check, finding.severity) == ("account-backups", Severity.INFO)


def test_autologin_is_wrong_on_a_clone_too(tree: Path) -> None:
    """An open console does not become right by running."""
    write(tree, "/etc/systemd/system/getty@tty1.service.d/a.conf", "[Service]\nExecStart=/sbin/agetty -a root %I\n")
    assert "autologin" in checks_of(tree, CLONE)


def rebuild(tree: Path, disk: Path, work: Path) -> None:
    """Put the tree onto the disk."""
    make_root_filesystem(tree, work / "root.ext4")
    splice(disk, ROOT_OFFSET, work / "root.ext4")


def test_usual_modes_pass_on_a_disk(tree: Path, disk: Path, tmp_path: Path) -> None:
    """Closed keys, a sticky directory and links, whose mode means nothing, are no finding of file-modes."""
    write(tree, "/etc/ssl/private/a.key", PRIVATE_KEY)
    (tree / "etc/ssl/private/a.key").chmod(0o640)
    write(tree, "/root/.ssh/config", "")
    (tree / "root/.ssh").chmod(0o700)
    (tree / "etc/drop").mkdir()
    (tree / "etc/drop").chmod(0o1777)
    (tree / "etc/shadow").chmod(0o000)
    rebuild(tree, disk, tmp_path)
    report = verify_disk(disk)
    assert "file-modes" in report.passed
    assert {finding.check for finding in report.findings} == {"tls-private-keys"}


def test_modes_of_a_copied_directory_are_not_judged(tree: Path) -> None:
    """When every file has one owner and group, modes may be the copy's: not observed, not passed."""
    (tree / "etc/shadow").chmod(0o666)
    report = verify_directory(tree)
    assert "file-modes" in {blind.check for blind in report.not_observed}
    assert "file-modes" not in {finding.check for finding in report.findings}


def test_modes_of_a_real_directory_are_judged(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A tree with more than one owner, as a chroot has, is judged (the second owner is imitated: not all may chown)."""
    real = os.stat

    def show(path: object, **options: object) -> os.stat_result:
        status = real(path, **options)  # type: ignore[arg-type]  # handed on as it came
        return os.stat_result((*status[:5], 42, *status[6:])) if path == "hostname" else status

    (tree / "etc/shadow").chmod(0o644)
    monkeypatch.setattr(os, "stat", show)
    report = verify_directory(tree)
    assert {finding.path for finding in report.findings if finding.check == "file-modes"} == {"/etc/shadow"}
