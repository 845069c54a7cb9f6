"""Two machines from one template: what may be the same, and what cannot be compared."""

from dataclasses import replace
from pathlib import Path

import pytest

from imagekit.disk.directory import Directory
from imagekit.disk.tree import FileTree
from imagekit.verify import CannotSee, Policy, Profile, Seen, View
from imagekit.verify.checks.twins import find_twins
from imagekit.verify.live import LiveFacts
from imagekit.verify.view import ViewKind

_ONE = LiveFacts(
    (), "running", "done", None, 0, 0,
    hostname="one", machine_id="1" * 32, boot_id="boot-1", product_uuid="uuid-1",
    addresses=("192.0.2.1", "fe80::1"), host_keys=("ssh-ed25519 SHA256:one",),
)  # fmt: skip
_TWO = replace(
    _ONE, hostname="two", machine_id="2" * 32, boot_id="boot-2", product_uuid="uuid-2",
    addresses=("192.0.2.2", "fe80::1"), host_keys=("ssh-ed25519 SHA256:two",),
)  # fmt: skip


def _compare(one: LiveFacts, two: LiveFacts | None, tree: Path) -> list[Seen]:
    with Directory(tree) as source:
        view = View(ViewKind.SSH, FileTree(source), live=replace(one, twin=two))
        return list(find_twins(view, Policy(profile=Profile.CLONE)))


def test_two_machines_pass(tmp_path: Path) -> None:
    """Nothing in common but a link-local address, which is one network's own: no finding."""
    assert _compare(_ONE, _TWO, tmp_path) == []


def test_evidence_is_no_whole_id(tmp_path: Path) -> None:
    """A machine-id is a secret of its machine (machine-id(5)): the report shows only its beginning."""
    (seen,) = _compare(_ONE, replace(_TWO, machine_id=_ONE.machine_id), tmp_path)
    assert _ONE.machine_id not in seen.found


@pytest.mark.parametrize(
    ("two", "reason"),
    [
        (None, "no other machine was named"),
        (replace(_TWO, boot_id=_ONE.boot_id, machine_id=_ONE.machine_id), "lead to the same machine"),
        (replace(_TWO, machine_id=""), "tell their machine-id"),
        (replace(_TWO, host_keys=(), product_uuid=""), "tell their host keys and SMBIOS UUID"),
    ],
)
def test_what_cannot_be_compared_is_not_passed(two: LiveFacts | None, reason: str, tmp_path: Path) -> None:
    """A comparison without both sides is not observed."""
    with pytest.raises(CannotSee, match=reason):
        _compare(_ONE, two, tmp_path)
