"""Judging two clones: a clean pair passes every check, and each kind of dirt is found by its own."""

from dataclasses import replace

import pytest

from imagekit.host.ssh import HostKey
from imagekit.machine.guest import GuestFacts
from imagekit.machine.serial import Fault, Stage, find_fault
from imagekit.machine.wait import BootStopped
from imagekit.verify import list_checks
from imagekit.verify.boot.checks import CHECKS, LIKELY, Observation, Rules, judge_clones

GIB = 1 << 30
RULES = Rules("debian", ())
SSHD = {
    "passwordauthentication": "no",
    "kbdinteractiveauthentication": "no",
    "permitrootlogin": "no",
    "permitemptypasswords": "no",
}


def _clone(name: str, number: int) -> Observation:
    key = HostKey("ssh-ed25519", f"AAAA{number}AAA")
    facts = GuestFacts(
        machine_id=f"{number:032x}",
        hostname=name,
        system_state="running",
        failed_units=(),
        host_keys=(key,),
        cloud_finished=True,
        cloud_datasource="DataSourceNoCloud",
        root_bytes=int(2.85 * GIB),
        root_device_bytes=int(2.93 * GIB),
        unused_bytes=33 * 512,
        addresses=("10.0.2.15",),
        sshd=SSHD,
        agent_state="active",
        accounts=("debian",),
        password_accounts=(),
    )
    return Observation(
        name=name,
        console=f"/logs/{name}.log",
        disk_bytes=3 * GIB,
        facts=facts,
        host_key=key,
        methods=("publickey",),
        foreign_key_accepted=False,
        password_accepted=False,
        agent_answers=True,
    )


A, B = _clone("clone-a", 1), _clone("clone-b", 2)
assert A.facts is not None
assert B.facts is not None
FACTS_A, FACTS_B = A.facts, B.facts
STUCK = BootStopped("clone-b stopped in stage kernel: nothing new", stage=Stage.KERNEL, fault=None)
BROKEN = BootStopped("b", stage=Stage.KERNEL, fault=Fault("the emulated machine broke", "Oops: 0", machine=True))

DIRT = {
    "boot-machine-fault": replace(B, facts=None, stopped=BROKEN),
    "boot-ssh": replace(B, stopped=STUCK),
    "boot-cloud-init": replace(B, facts=replace(FACTS_B, cloud_errors=("locale failed",))),
    "boot-failed-units": replace(B, facts=replace(FACTS_B, failed_units=("ssh.service",))),
    "boot-machine-id-unique": replace(B, facts=replace(FACTS_B, machine_id=FACTS_A.machine_id)),
    "boot-host-keys-unique": replace(B, facts=replace(FACTS_B, host_keys=FACTS_A.host_keys), host_key=A.host_key),
    "boot-hostname": replace(B, facts=replace(FACTS_B, hostname="localhost")),
    "boot-root-grown": replace(B, facts=replace(FACTS_B, root_bytes=int(1.9 * GIB), unused_bytes=GIB)),
    "boot-password-refused": replace(B, methods=("password", "publickey")),
    "boot-sshd-policy": replace(B, facts=replace(FACTS_B, sshd={**SSHD, "permitrootlogin": "yes"})),
    "boot-agent": replace(B, agent_answers=False),
    "boot-foreign-key": replace(B, foreign_key_accepted=True),
    "boot-accounts": replace(B, facts=replace(FACTS_B, accounts=("debian", "packer"))),
}


def test_clean_clones_pass_every_check() -> None:
    """Two different, healthy clones give no finding, and no check is skipped."""
    findings, passed, unseen = judge_clones((A, B), RULES)
    assert (findings, unseen) == ([], [])
    assert passed == list(CHECKS)


def test_every_check_has_its_dirt() -> None:
    """A check without a case that makes it fail proves nothing."""
    assert set(DIRT) == set(CHECKS)


@pytest.mark.parametrize("check", DIRT)
def test_dirt_is_found_by_its_check(check: str) -> None:
    """Each kind of dirt is found by the check made for it, and by no other."""
    findings, passed, _ = judge_clones((A, DIRT[check]), RULES)
    assert {finding.check for finding in findings} == {check}
    assert check not in passed
    assert all(finding.found and finding.why and finding.fix and finding.path for finding in findings)


@pytest.mark.parametrize(
    ("check", "clone"),
    [
        ("boot-cloud-init", replace(B, facts=replace(FACTS_B, cloud_disabled=True))),
        ("boot-cloud-init", replace(B, facts=replace(FACTS_B, cloud_finished=False, jobs=("a.service start",)))),
        ("boot-machine-id-unique", replace(B, facts=replace(FACTS_B, machine_id="uninitialized"))),
        ("boot-machine-id-unique", replace(B, facts=replace(FACTS_B, machine_id=""))),
        ("boot-host-keys-unique", replace(B, facts=replace(FACTS_B, host_keys=()))),
        ("boot-host-keys-unique", replace(B, host_key=HostKey("ssh-ed25519", "AAAA"))),
        ("boot-root-grown", replace(B, facts=replace(FACTS_B, root_bytes=int(1.9 * GIB)))),
        (
            "boot-root-grown",
            replace(B, facts=replace(FACTS_B, root_bytes=GIB, root_device_bytes=GIB, unused_bytes=None)),
        ),
        ("boot-password-refused", replace(B, password_accepted=True)),
        ("boot-password-refused", replace(B, methods=("none",))),
        ("boot-sshd-policy", replace(B, facts=replace(FACTS_B, sshd={**SSHD, "passwordauthentication": "yes"}))),
        ("boot-accounts", replace(B, facts=replace(FACTS_B, password_accounts=("root",)))),
    ],
)
def test_other_faces_of_dirt(check: str, clone: Observation) -> None:
    """The same check sees the other ways in which its subject can be wrong."""
    findings, _, _ = judge_clones((A, clone), RULES)
    assert check in {finding.check for finding in findings}


def test_what_was_not_seen_never_passes() -> None:
    """A clone that stopped early leaves its checks unobserved, with the reason, instead of passed."""
    findings, passed, unseen = judge_clones((A, Observation("clone-b", "/l", 3 * GIB, stopped=STUCK)), RULES)
    assert {finding.check for finding in findings} == {"boot-ssh"}
    assert set(passed) == {"boot-machine-fault"}
    assert {entry.check for entry in unseen} == set(CHECKS) - {"boot-ssh", "boot-machine-fault"}
    assert all("stage kernel" in entry.reason for entry in unseen)


def test_clone_that_was_called_off_never_passes() -> None:
    """The clone ended because the other one failed has proven nothing."""
    _, passed, unseen = judge_clones((A, Observation("clone-b", "/l", 3 * GIB)), RULES)
    assert set(passed) == {"boot-machine-fault"}
    assert {entry.check for entry in unseen} == set(CHECKS) - {"boot-machine-fault"}


def test_shared_fault_of_both_clones_is_not_a_pair() -> None:
    """Two clones without any host key or machine id are not taken for unlike ones."""
    bare_a = replace(A, facts=replace(FACTS_A, machine_id="", host_keys=()))
    bare_b = replace(B, facts=replace(FACTS_B, machine_id="", host_keys=()))
    checks = {finding.check for finding in judge_clones((bare_a, bare_b), RULES)[0]}
    assert {"boot-machine-id-unique", "boot-host-keys-unique"} <= checks


def test_named_users_may_exist() -> None:
    """An account that the definition names is no finding."""
    ops = replace(B, facts=replace(FACTS_B, accounts=("debian", "ops")))
    assert judge_clones((A, ops), Rules("debian", ("ops",)))[0] == []


def test_unreachable_clone_is_explained_by_what_its_agent_told() -> None:
    """The fix names the likeliest cause: cloud-init off, wrong datasource, no address."""
    for facts, word in (
        (replace(FACTS_B, cloud_disabled=True), "cloud-init is disabled"),
        (replace(FACTS_B, cloud_datasource="DataSourceNone"), "datasource_list"),
        (replace(FACTS_B, addresses=()), "no address"),
        (replace(FACTS_B, failed_units=("ssh.service",)), "ssh.service"),
    ):
        findings, _, _ = judge_clones((A, replace(B, facts=facts, stopped=STUCK)), RULES)
        assert word in next(finding.fix for finding in findings if finding.check == "boot-ssh")


@pytest.mark.parametrize(("console", "check"), [
    ("-- Press any key to proceed --", "first-boot-wizard"),
    ("System cannot boot: Missing /etc/machine-id and /etc is mounted read-only.", "machine-id"),
    ("You are in emergency mode. After logging in, type", "fstab-devices"),
    ("ALERT! UUID=1234 does not exist. Dropping to a shell!", "boot-references"),
    ("error: you need to load the kernel first.", "kernel-files"),
    ("grub> ", "boot-references"),
    ("BdsDxe: No bootable option or device was found.", "uefi-fallback"),
])  # fmt: skip
def test_console_names_the_likely_dirt(console: str, check: str) -> None:
    """What the console says at a stopped boot leads to the offline check for the dirt that looks like this."""
    fault = find_fault(console)
    assert fault is not None
    stopped = BootStopped("clone-b stopped", stage=Stage.KERNEL, fault=fault)
    findings, _, _ = judge_clones((A, replace(B, facts=None, stopped=stopped)), RULES)
    (finding,) = [each for each in findings if each.check == "boot-ssh"]
    assert f"--explain {check}" in finding.fix


def test_every_likely_dirt_has_a_check() -> None:
    """The checks that a stopped boot points to exist."""
    assert {check for _, checks in LIKELY for check in checks} <= {check.id for check in list_checks()}
