"""cloud-init as stock images have it, and configuration that only looks suspicious."""

from pathlib import Path

import pytest

from imagekit.verify import CannotSee, Policy
from tests.verify.checks.seeing import see
from tests.verify.clean_tree import append, link, remove, replace, write
from tests.verify.dirty.change import CFG, HASH, PUBLIC_KEY

HOOKS = "/etc/cloud/clean.d"
# A mapping that means ten million others.
NEST = "a0: &a0 {k: 1}\n" + "".join(
    f"a{level}: &a{level} {{{', '.join(f'x{place}: *a{level - 1}' for place in range(10))}}}\n" for level in range(1, 8)
)


@pytest.mark.parametrize("text", ["", "# policy: disabled\n", "other: Ec2\n"])
def test_detection_file_without_settings_is_clean(tree: Path, text: str) -> None:
    """A file that sets nothing changes nothing."""
    write(tree, "/etc/cloud/ds-identify.cfg", text)
    assert see(tree, "ds-identify-policy") == []


def test_last_mode_of_the_policy_counts(tree: Path) -> None:
    """``disabled,search`` searches, and cloud-init runs."""
    write(tree, "/etc/cloud/ds-identify.cfg", "policy: disabled,search,notfound=disabled\n")
    assert see(tree, "cloud-init-enabled") == []
    assert [seen.severity for seen in see(tree, "ds-identify-policy")] == [None]


def test_overruled_list_on_several_lines_is_clean(tree: Path) -> None:
    """ds-identify takes the last line, so an earlier file's list does not matter."""
    write(tree, f"{CFG}/10-a.cfg", "datasource_list:\n  - Ec2\n")
    assert see(tree, "cloud-init-datasource") == []


def test_detection_as_debian_has_it_is_clean(tree: Path) -> None:
    """No list at all means all datasources; one entry that reads the drive is enough."""
    remove(tree, f"{CFG}/90_dpkg.cfg")
    assert see(tree, "cloud-init-datasource") == []
    write(tree, f"{CFG}/99.cfg", "datasource_list: [ NoCloud ]\n")
    assert see(tree, "cloud-init-datasource") == []


def test_empty_state_directories_are_clean(tree: Path) -> None:
    """What ``cloud-init clean`` and the package leave are directories."""
    for name in ("data", "sem", "handlers", "scripts/per-boot", "instances", "seed"):
        (tree / "var/lib/cloud" / name).mkdir(parents=True, exist_ok=True)
    assert see(tree, "cloud-init-state") == []
    assert see(tree, "cloud-init-seed") == []


def test_hooks_that_ran_are_clean(tree: Path) -> None:
    """A README is no hook, comments name nothing, and what a hook reads or has removed may be as it is."""
    write(tree, f"{HOOKS}/README", "rm -f /etc/fstab\n")
    write(tree, f"{HOOKS}/10-a", "#!/bin/sh\n# rm /etc/fstab\ncat /etc/passwd\nrm -f /etc/gone /etc/*.bak\n")
    write(tree, f"{HOOKS}/20-b", f"#!/usr/bin/env python3\nimport os\nos.remove('{HOOKS}/20-b')\nos.remove('/etc/x')\n")
    for name in ("10-a", "20-b"):
        (tree / HOOKS.lstrip("/") / name).chmod(0o755)
    assert see(tree, "clean-hooks") == []


def test_hook_that_only_reads_removes_nothing(tree: Path) -> None:
    """A Python hook without a removal is not taken at its paths."""
    write(tree, f"{HOOKS}/10-a", "#!/usr/bin/python3\nprint(open('/etc/fstab').read())\n")
    (tree / HOOKS.lstrip("/") / "10-a").chmod(0o755)
    assert see(tree, "clean-hooks") == []


@pytest.mark.parametrize(
    "text",
    [
        "users: default\n",
        "users: {default: true, ops: {shell: /bin/sh}}\n",
        "users: [{name: default}]\n",
        "users: [default, {name: ops, passwd: '!', lock_passwd: true}]\n",
        "chpasswd: {expire: false}\n",
        "ssh_pwauth: false\n",
        "ssh_pwauth: unchanged\n",
        "disable_root: true\n",
    ],
)
def test_users_without_secrets_are_clean(tree: Path, text: str) -> None:
    """Every way to keep the default user, locked accounts, and settings without a password."""
    write(tree, f"{CFG}/zz.cfg", text)
    assert see(tree, "cloud-config-users") == []


def test_definition_may_give_keys_and_never_passwords(tree: Path) -> None:
    """A key of an account that the definition names is meant to be there; its password is not."""
    write(tree, f"{CFG}/zz.cfg", f"users: [default, {{name: ops, ssh_authorized_keys: ['{PUBLIC_KEY.strip()}']}}]\n")
    assert see(tree, "cloud-config-users", Policy(allow_users=("ops",))) == []
    write(tree, f"{CFG}/zz.cfg", f"users: [default, {{name: ops, passwd: '{HASH}'}}]\n")
    found = see(tree, "cloud-config-users", Policy(allow_users=("ops",)))
    assert [seen.found for seen in found] == ["passwd for user ops (sha512crypt)"]


def test_nest_of_aliases_ends(tree: Path) -> None:
    """Mappings that mean millions of others cost no more than their text, wherever a check meets them."""
    write(tree, f"{CFG}/z1.cfg", f"{NEST}users: [{{name: *a7, passwd: *a7}}]\ndatasource_list: [*a7]\n")
    write(tree, f"{CFG}/z2.cfg", NEST)
    assert [seen.path for seen in see(tree, "cloud-config-users")] == [f"{CFG}/z1.cfg"] * 2
    assert "(no name)" in see(tree, "cloud-init-datasource")[0].found


def test_modules_may_be_written_either_way(tree: Path) -> None:
    """Dashes, underscores and a module with a frequency mean the same."""
    replace(tree, "/etc/cloud/cloud.cfg", "  - ssh\n", "  - [ssh, always]\n")
    replace(tree, "/etc/cloud/cloud.cfg", "set-passwords", "set_passwords")
    assert see(tree, "cloud-init-modules") == []


def test_empty_logs_are_clean(tree: Path) -> None:
    """A log that was emptied says nothing; other logs are other checks'."""
    write(tree, "/var/log/cloud-init.log", "")
    write(tree, "/var/log/other.log", "password: canary1\n")
    assert see(tree, "cloud-init-logs") == []


@pytest.mark.parametrize(
    "line",
    [
        "cc_set_passwords.py[DEBUG]: Leaving SSH config 'PasswordAuthentication' unchanged",
        "config-set-passwords ran successfully",
        "{'password': None, 'lock_passwd': True}",
        "password: REDACTED",
        "passwd: <redacted>",
        "passwd: '*'",
    ],
)
def test_log_without_a_secret_is_a_log(tree: Path, line: str) -> None:
    """Words about passwords and values that were left out are no secret."""
    write(tree, "/var/log/cloud-init.log", f"{line}\n")
    assert [seen.severity for seen in see(tree, "cloud-init-logs")] == [None]


def test_log_gives_no_secret_away(tree: Path) -> None:
    """The finding names the kind of secret and never its value."""
    write(tree, "/var/log/cloud-init.log", '"plain_text_passwd": "canary1"\n')
    found = see(tree, "cloud-init-logs")[0].found
    assert "plain_text_passwd" in found
    assert "canary1" not in found


@pytest.mark.parametrize("version", ["22.4.2-1", "22.4.2-1+deb12u9", "23.1-1", "25.1.4-1", "1:24.0"])
def test_release_may_have_its_own_version(tree: Path, version: str) -> None:
    """Debian 12's version stays with Debian 12; later ones are good everywhere."""
    replace(tree, "/var/lib/dpkg/status", "22.4.2-1+deb12u3", version)
    assert see(tree, "cloud-init-version") == []


def test_old_version_of_another_release_is_reported(tree: Path) -> None:
    """What is normal in Debian 12 is old in Debian 13."""
    replace(tree, "/usr/lib/os-release", 'VERSION_ID="12"', 'VERSION_ID="13"')
    assert "22.4.2" in see(tree, "cloud-init-version")[0].found


def test_versions_of_other_databases_are_not_seen(tree: Path) -> None:
    """Without dpkg nothing is said about the version."""
    remove(tree, "/var/lib/dpkg/status")
    with pytest.raises(CannotSee):
        see(tree, "cloud-init-version")


def test_disabled_network_is_reported_once(tree: Path) -> None:
    """The file that switches the network off belongs to that check, whatever its name."""
    write(tree, f"{CFG}/subiquity-disable-cloudinit-networking.cfg", "network: {config: disabled}\n")
    assert see(tree, "installer-cloud-config") == []
    assert len(see(tree, "cloud-init-network-disabled")) == 1


def test_ordinary_mounts_are_clean(tree: Path) -> None:
    """Lines that cloud-init did not write are the template's own."""
    append(tree, "/etc/fstab", "/dev/disk/by-label/data /mnt ext4 nofail,comment=mine 0 2\n")
    assert see(tree, "cloud-init-fstab") == []


def test_dangling_instance_link_is_state(tree: Path) -> None:
    """A link that leads nowhere still says which instance it was."""
    link(tree, "/var/lib/cloud/instance", "/var/lib/cloud/instances/gone")
    assert [seen.path for seen in see(tree, "cloud-init-state")] == ["/var/lib/cloud/instance"]
