"""Whether the machine does what it is there for: DNS asked from here, by UDP and TCP, and no unit failed newly.

Sources: RFC 1035 section 4.2 (both transports), RFC 7766 (TCP is no option), Pi-hole's documentation of its blocking
modes: what is blocked gets 0.0.0.0, the machine's own address, no data, or NXDOMAIN.
"""

import socket
import time
from collections.abc import Callable
from dataclasses import dataclass

from imagekit.errors import HostFailed

_STEADY = 2
_PAUSE = 1.0


@dataclass(frozen=True, slots=True)
class HealthPolicy:
    """What is asked: ``own`` is a name the machine knows itself, ``outside`` names that it has to resolve.

    ``blocked`` is a name that must be kept from the client, empty for none. ``seconds`` is how long the machine may
    take until all is well: containers start anew after a switch. ``query`` seconds is how long one answer may take.
    """

    own: str = "pi.hole"
    outside: tuple[str, ...] = ("example.com",)
    blocked: str = ""
    port: int = 53
    seconds: float = 300.0
    query: float = 3.0


@dataclass(frozen=True, slots=True)
class Health:
    """What a round of questions showed: sentences about what is wrong, and the names that were answered."""

    problems: tuple[str, ...]
    answered: frozenset[str]

    @property
    def good(self) -> bool:
        return not self.problems


def find_address(host: str) -> str:
    """Return a host's address for DNS questions; raises :class:`HostFailed` when its name means nothing here."""
    try:
        return str(socket.getaddrinfo(host, None, type=socket.SOCK_DGRAM)[0][4][0])
    except OSError as problem:
        raise HostFailed(
            f"the address of {host} is not known here: {problem.strerror or problem}",
            hint="name the machine by its address: ssh://admin@192.168.0.53",
        ) from problem


def ask_round(address: str, policy: HealthPolicy, required: frozenset[str] | None = None) -> Health:
    """Ask every name once, each by UDP and TCP.

    ``required`` are the names that must be answered: an outside name that the old system could not resolve either says
    something about the house's connection, not about the new system. ``None`` requires all.
    """
    problems: list[str] = []
    answered: set[str] = set()
    for name in (policy.own, *policy.outside):
        if not name:
            continue
        wrong = [found for tcp in (False, True) if (found := _ask(address, name, policy, tcp=tcp)[0])]
        if not wrong:
            answered.add(name)
        elif required is None or name in required:
            problems.extend(wrong)
    if policy.blocked and (found := _judge_blocked(address, policy)):
        problems.append(found)
    return Health(tuple(problems), frozenset(answered))


def wait_until_healthy(
    address: str,
    policy: HealthPolicy,
    required: frozenset[str] | None = None,
    *,
    more: Callable[[], tuple[str, ...]] = tuple,
    on_round: Callable[[Health, float], None] | None = None,
) -> Health:
    """Ask until all was well twice in a row, or ``policy.seconds`` are over; return the last round.

    ``more`` returns further problems (failed units); ``on_round`` hears each round with the seconds gone.
    """
    began, steady = time.monotonic(), 0
    while True:
        health = ask_round(address, policy, required)
        if health.good and (problems := more()):
            health = Health(problems, health.answered)
        steady = steady + 1 if health.good else 0
        gone = time.monotonic() - began
        if on_round is not None:
            on_round(health, gone)
        if steady >= _STEADY or (gone > policy.seconds and not health.good):
            return health
        time.sleep(_PAUSE)


def _ask(address: str, name: str, policy: HealthPolicy, *, tcp: bool) -> tuple[str, tuple[str, ...]]:
    """Ask for a name's IPv4 address; return what is wrong with the answer (empty: nothing) and the addresses in it."""
    import dns.exception
    import dns.message
    import dns.query
    import dns.rcode
    import dns.rdatatype

    way = "TCP" if tcp else "UDP"
    question = dns.message.make_query(name, dns.rdatatype.A)
    try:
        send = dns.query.tcp if tcp else dns.query.udp
        answer = send(question, address, timeout=policy.query, port=policy.port)
    except dns.exception.Timeout:
        return f"DNS at {address} does not answer by {way}: {name} was asked for", ()
    except (dns.exception.DNSException, OSError, EOFError) as problem:
        reason = str(problem) or type(problem).__name__
        return f"DNS at {address} does not answer by {way}: {reason[:200]}", ()
    found = tuple(
        record.address for each in answer.answer if each.rdtype == dns.rdatatype.A for record in list(each)[:64]
    )
    if answer.rcode() != dns.rcode.NOERROR:
        return f"DNS at {address} says {dns.rcode.to_text(answer.rcode())} for {name} by {way}", ()
    return ("" if found else f"DNS at {address} has no address for {name} by {way}"), found


def _judge_blocked(address: str, policy: HealthPolicy) -> str:
    wrong, found = _ask(address, policy.blocked, policy, tcp=False)
    if "does not answer" in wrong or "SERVFAIL" in wrong or "REFUSED" in wrong:
        return wrong
    leaked = [each for each in found if each not in ("0.0.0.0", address)]
    return f"{policy.blocked} is to be blocked, and DNS at {address} says {leaked[0]}" if leaked else ""
