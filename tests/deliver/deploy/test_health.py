"""DNS is asked by UDP and TCP, and what is wrong is said in a sentence: against a real server on loopback."""

import socket
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from imagekit.deliver.deploy.health import HealthPolicy, ask_round, find_address, wait_until_healthy
from imagekit.errors import HostFailed
from imagekit.host.local import end, start
from tests.deliver.deploy.world import RESPONDER, wait_until

HERE = "127.0.0.1"


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """The port of a running DNS server."""
    directory = tmp_path_factory.mktemp("dns")
    with socket.create_server((HERE, 0)) as free:
        number = int(free.getsockname()[1])
    process = start([sys.executable, str(RESPONDER), HERE, str(number), str(directory / "pid")])
    wait_until((directory / "pid").exists)
    yield number
    end(process)


def test_server_that_answers_is_well(port: int) -> None:
    """Every name is answered both ways, and a blocked one is blocked."""
    health = ask_round(HERE, HealthPolicy(port=port, blocked="blocked.example"))
    assert health.good
    assert health.answered == {"pi.hole", "example.com"}


def test_name_that_does_not_exist_is_told(port: int) -> None:
    """An outside name with NXDOMAIN is a problem by each way, unless it is not required."""
    policy = HealthPolicy(port=port, outside=("nowhere.example",))
    assert ask_round(HERE, policy).problems == (
        f"DNS at {HERE} says NXDOMAIN for nowhere.example by UDP",
        f"DNS at {HERE} says NXDOMAIN for nowhere.example by TCP",
    )
    assert ask_round(HERE, policy, frozenset({"pi.hole"})).good


def test_name_that_is_not_blocked_is_told(port: int) -> None:
    """A name that is to be blocked and has an address is a problem; NXDOMAIN is a way to block."""
    found = ask_round(HERE, HealthPolicy(port=port, blocked="ads.example")).problems
    assert found == (f"ads.example is to be blocked, and DNS at {HERE} says 192.0.2.1",)
    assert ask_round(HERE, HealthPolicy(port=port, blocked="ads.nowhere.example")).good


def test_closed_port_is_told() -> None:
    """Where nothing listens, both ways are told, and blocking is not taken for granted."""
    with socket.create_server((HERE, 0)) as free:
        closed = int(free.getsockname()[1])
    found = ask_round(HERE, HealthPolicy(port=closed, outside=(), blocked="ads.example", query=0.3)).problems
    assert len(found) == 3
    assert all("does not answer" in each for each in found)


def test_garbage_is_no_answer() -> None:
    """A server that answers with something else than DNS is told as such, and ends the question."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        udp.bind((HERE, 0))
        number = int(udp.getsockname()[1])

        def speak() -> None:
            _data, peer = udp.recvfrom(4096)
            udp.sendto(b"\x1b[2J" * 300, peer)

        thread = threading.Thread(target=speak, daemon=True)
        thread.start()
        found = ask_round(HERE, HealthPolicy(port=number, outside=())).problems
        thread.join(5)
    assert found
    assert "\x1b" not in "".join(found)


def test_waiting_ends_when_all_is_well(port: int) -> None:
    """Two good rounds in a row are enough; a failed unit is a problem like any other."""
    rounds: list[float] = []
    policy = HealthPolicy(port=port, seconds=30)
    assert wait_until_healthy(HERE, policy, on_round=lambda _health, gone: rounds.append(gone)).good
    assert len(rounds) == 2
    health = wait_until_healthy(HERE, HealthPolicy(port=port, seconds=0), more=lambda: ("docker.service failed",))
    assert health.problems == ("docker.service failed",)


def test_name_of_a_machine_is_resolved() -> None:
    """A name becomes an address; one that means nothing is a sentence."""
    assert find_address(HERE) == HERE
    with pytest.raises(HostFailed, match="not known here"):
        find_address("nobody.invalid")


def test_responder_is_a_file() -> None:
    """The server that the tests run is there."""
    assert Path(RESPONDER).is_file()
