"""Waiting for tasks: what counts as success, what an error says, and an API that is away for a moment."""

from typing import Any

import pytest

from imagekit.cluster.api import Cluster
from imagekit.cluster.failures import ClusterFailed, Unreachable
from imagekit.cluster.tasks import TaskFailed, TaskUnfinished, Upid, wait_for_task
from imagekit.progress import Event

UPID = "UPID:pve:00006CFB:0007F569:6B019DA7:qmclone:8100:root@pam!full:"


def _start(cluster: Cluster, vm_id: int = 101) -> object:
    return cluster.post(f"/nodes/pve1/qemu/{vm_id}/status/start")


def _wait(cluster: Cluster, upid: object, **options: Any) -> Any:
    return wait_for_task(cluster, upid, **{"stage": "starting VM 101", "timeout": 10, **options})


def test_success(cluster: Cluster, pve: Any) -> None:
    """A task that ends OK is done, without warnings, and its log's last lines are there."""
    pve.add_vm(101, "web")
    done = _wait(cluster, _start(cluster))
    assert (done.warnings, done.log) == (0, ("TASK OK",))
    assert (done.upid.node, done.upid.kind, done.upid.subject) == ("pve1", "qmstart", "101")


def test_warnings(cluster: Cluster, pve: Any) -> None:
    """A task that ends with warnings did its work: PVE 9.2 says so at each start with old Microsoft certificates."""
    pve.add_vm(101, "web")
    upid = _start(cluster)
    pve.tasks[upid]["exitstatus"] = "WARNINGS: 2"
    assert _wait(cluster, upid).warnings == 2


def test_failure(cluster: Cluster, pve: Any) -> None:
    """A task that fails gives its own words and the end of its log."""
    pve.add_vm(101, "web").start_error = "start failed: QEMU exited with code 1"
    with pytest.raises(TaskFailed, match="starting VM 101: the cluster's task failed: start failed") as caught:
        _wait(cluster, _start(cluster))
    assert "TASK ERROR: start failed" in caught.value.detail
    assert caught.value.exit_code == 8


@pytest.mark.parametrize(
    ("said", "hint"),
    [
        ("VM is locked (backup)", "qm unlock 101"),
        ("can't lock file '/var/lock/qemu-server/lock-101.conf' - got timeout", "works on VM 101 right now"),
        ("unexpected status", "was killed"),
        ("import failed: cp: error writing '/x': No space left on device", "storage is full"),
        ("base volume 'local:400/base-400-disk-0.raw' is still in use by linked cloned", "clones hang on"),
        ("Permission check failed (/vms/101, VM.Config.Options)", "needs VM.Config.Options on /vms/101"),
        ("", None),
    ],
)
def test_hints(cluster: Cluster, pve: Any, said: str, hint: str | None) -> None:
    """What is known about an error is said; nothing is made up for one that says nothing."""
    pve.add_vm(101, "web")
    upid = _start(cluster)
    pve.tasks[upid]["exitstatus"] = said
    with pytest.raises(TaskFailed) as caught:
        _wait(cluster, upid)
    assert (hint in (caught.value.hint or "")) if hint else caught.value.hint is None


def test_long_log(cluster: Cluster, pve: Any) -> None:
    """A log of many pages is read to its end, and the last lines are kept."""
    pve.add_vm(101, "web")
    upid = _start(cluster)
    pve.tasks[upid]["log"] = [f"line {number}" for number in range(1203)]
    assert _wait(cluster, upid).log[-1] == "line 1202"
    assert len(_wait(cluster, upid).log) == 15


def test_empty_log(cluster: Cluster, pve: Any) -> None:
    """The line by which PVE says that there is no log yet is no line of it."""
    pve.add_vm(101, "web")
    upid = _start(cluster)
    pve.tasks[upid]["log"] = ["no content"]
    assert _wait(cluster, upid).log == ()


@pytest.mark.fakepve(time_scale=1)
def test_progress(cluster: Cluster, pve: Any) -> None:
    """While a task runs its log's newest line is shown."""
    pve.add_vm(101, "web").start_secs = 600
    upid = _start(cluster)
    pve.tasks[upid]["log"].append("transferred 1.2 MiB of 96.0 MiB (1.20%)")
    events: list[Event] = []

    def see(event: Event) -> None:
        events.append(event)
        if event.detail:  # it has been shown: let the task end
            pve.tasks[upid].update(status="stopped", exitstatus="OK")

    _wait(cluster, upid, progress=see)
    assert events[0] == Event("starting VM 101")
    assert events[-1] == Event("starting VM 101", detail="transferred 1.2 MiB of 96.0 MiB (1.20%)")


@pytest.mark.fakepve(time_scale=1)
def test_time_is_up(cluster: Cluster, pve: Any) -> None:
    """A task that takes too long is not waited for any longer, and the sentence says that it goes on."""
    pve.add_vm(101, "web").start_secs = 5
    with pytest.raises(TaskUnfinished, match=r"is not done after 0 s") as caught:
        _wait(cluster, _start(cluster), timeout=0.3)
    assert "goes on by itself" in (caught.value.hint or "")


def test_api_is_away_for_a_moment(cluster: Cluster, pve: Any) -> None:
    """An API that does not answer is asked again."""
    pve.add_vm(101, "web")
    upid = _start(cluster)
    pve.fail("GET", f"/tasks/{upid}/status", 599, "Too many redirections", times=2)
    assert _wait(cluster, upid).warnings == 0


def test_api_stays_away(cluster: Cluster, pve: Any) -> None:
    """An API that does not come back is not asked for ever."""
    pve.add_vm(101, "web")
    upid = _start(cluster)
    pve.fail("GET", f"/tasks/{upid}/status", 595, "Connection refused")
    with pytest.raises(Unreachable):
        _wait(cluster, upid, patience=0.3)


def test_refusal_is_no_absence(cluster: Cluster, pve: Any) -> None:
    """An answer that says no is not asked for again."""
    pve.add_vm(101, "web")
    upid = _start(cluster)
    pve.fail("GET", f"/tasks/{upid}/status", 403, "Permission check failed (/nodes/pve1, Sys.Audit)")
    with pytest.raises(ClusterFailed, match=r"needs Sys\.Audit on /nodes/pve1"):
        _wait(cluster, upid)
    assert sum("/status" in path for verb, path, _body in pve.requests if verb == "GET") == 1


def test_upid() -> None:
    """A UPID tells its node, kind and subject; an upload's has no subject."""
    assert Upid.parse(UPID) == Upid(UPID, "pve", "qmclone", "8100")
    upload = Upid.parse("UPID:pve:00004460:00061F50:6B0198F3:imgcopy::root@pam!full:")
    assert (upload.kind, upload.subject) == ("imgcopy", "")


@pytest.mark.parametrize("text", [None, 5, "", "UPID:bad", UPID + "\n", UPID.replace("pve", "../pve"), UPID[:-1]])
def test_no_upid(text: object) -> None:
    """What is no UPID is refused before it becomes part of a path."""
    with pytest.raises(ClusterFailed, match="did not say which task"):
        Upid.parse(text)
