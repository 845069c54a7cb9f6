"""Whether an enabled firewall lets SSH in, as far as its files tell: nftables, ufw, firewalld, iptables-persistent.

The question is asked kindly: a rule that opens more than a port, or that this reader does not understand, counts as
letting SSH in. What is left are firewalls that drop by default and nowhere name the port.
Source: nft(8), ufw(8) and its ``user.rules``, firewalld.zone(5), iptables-save(8).
"""

import fnmatch
import re
from collections.abc import Iterator
from dataclasses import dataclass

from imagekit.verify.facts.sshd import read_sshd_policy
from imagekit.verify.facts.units import find_unit, is_enabled
from imagekit.verify.view import CannotSee, View, fact

_FILES = 50
_LIMIT = 256 << 10
_COMMENT = re.compile(r"#[^\n]*")
_INCLUDE = re.compile(r"^[ \t]*include[ \t]+\"([^\"\n]{1,400})\"", re.MULTILINE)
_DEFINE = re.compile(r"^[ \t]*(?:re)?define[ \t]+(\w{1,60})[ \t]*=[ \t]*(\{[^}\n]{0,2000}\}|\S{1,200})", re.MULTILINE)
_CHAIN = re.compile(r"chain\s+[\w.-]{1,100}\s*$")
_BRACE = re.compile(r"[{}]")
_DEEPEST = 8
_DROPS = re.compile(
    r"\bpolicy[ \t]+drop\b|^[ \t]*(?:counter[ \t]+(?:packets[ \t]+\d+[ \t]+bytes[ \t]+\d+[ \t]+)?)?"
    r"(?:drop|reject\b.*)[ \t]*;?[ \t]*$",
    re.MULTILINE,
)
# Rules that accept, but never a new connection to sshd from outside.
_NARROW = re.compile(
    r"\bct\s+state\b(?!.*\bnew\b)|\biif(?:name)?\s+\"?lo\"?\b|\bicmp|\budp\b|\b[ds]port\b|\bigmp\b|ip6?\s+protocol|\bvrrp\b"
)
_IPTABLES_NARROW = re.compile(
    r"--(?:dport|dports|sport|sports|icmp-type|icmpv6-type)\b|-i lo\b|(?:state|ctstate)\b(?!.*NEW)|-p (?!tcp\b)"
)
_ZONE_OPEN = re.compile(r"<zone\b[^>]*\btarget=\"ACCEPT\"|<service\s+name=\"ssh\"")


@dataclass(frozen=True, slots=True)
class ClosedFirewall:
    """A firewall that boot starts and that lets nobody in by SSH; ``path`` is the file that should have."""

    path: str
    name: str
    fix: str


@fact
def read_ssh_ports(view: View) -> tuple[int, ...]:
    """Return the ports on which sshd listens; 22 unless its configuration says otherwise."""
    try:
        value = read_sshd_policy(view).get("port").value
    except CannotSee:
        value = ""
    return (int(value),) if value.isascii() and value.isdigit() and len(value) < 6 and value != "0" else (22,)


@fact
def find_closed_firewalls(view: View) -> tuple[ClosedFirewall, ...]:
    """Return every enabled firewall that keeps SSH out."""
    port = read_ssh_ports(view)[0]
    return (
        *_judge_nftables(view, port),
        *_judge_ufw(view, port),
        *_judge_firewalld(view, port),
        *_judge_iptables(view, port),
    )


def _names_port(text: str, port: int) -> bool:
    """Say whether a rule's text names the port: alone, in a list, in a range, or as ssh."""
    if port == 22 and re.search(r"(?<![\w-])ssh(?![\w-])", text):
        return True
    for first, last in re.findall(r"(?<![\w.:/])(\d{1,5})(?:[-:](\d{1,5}))?(?![\w.])", text):
        if int(first) <= port <= int(last or first):
            return True
    return False


# -- nftables ----------------------------------------------------------------------------------------------------------


def _judge_nftables(view: View, port: int) -> Iterator[ClosedFirewall]:
    unit = find_unit(view, "nftables.service")
    if unit is None or not unit.enabled:
        return
    main = next((path for path in ("/etc/nftables.conf", "/etc/sysconfig/nftables.conf") if view.is_file(path)), None)
    if main is None:
        return
    text = _read_rules(view, main, set())
    for name, value in _DEFINE.findall(text)[:100]:
        text = text.replace(f"${name}", value)
    if not any(_DROPS.search(chain) for chain in _list_input_chains(text)):
        return
    for line in text.splitlines():
        accepts = "accept" in line or "elements" in line
        if accepts and _names_port(line, port) and "policy" not in line:
            return
        if "policy" not in line and re.search(r"\baccept\b", line) and not _NARROW.search(line):
            return
    fix = f"sed -i '/hook input/a tcp dport {port} accept' {main}"
    yield ClosedFirewall(main, "nftables", fix)


def _list_input_chains(text: str) -> Iterator[str]:
    """Yield the body of every chain that is hooked to input; braces are counted once from front to end."""
    begins: list[int] = []
    for brace in _BRACE.finditer(text):
        if brace.group() == "{":
            begins.append(brace.start())
            if len(begins) > _DEEPEST:  # no rule set is nested like this
                return
        elif begins:
            begin = begins.pop()
            body = text[begin + 1 : brace.start()]
            if _CHAIN.search(text[max(begin - 120, 0) : begin]) and re.search(r"\bhook\s+input\b", body):
                yield body


def _read_rules(view: View, path: str, seen: set[str]) -> str:
    """Return a rule file with its includes after it, without comments; an include may have a pattern for its name."""
    if path in seen or len(seen) >= _FILES:
        return ""
    seen.add(path)
    text = _COMMENT.sub("", view.text(path, _LIMIT) or "")
    texts = [text]
    for pattern in _INCLUDE.findall(text):
        whole = pattern if pattern.startswith("/") else f"/etc/{pattern}"
        directory, _, name = whole.rpartition("/")
        for entry, _ in view.children(directory or "/"):
            if fnmatch.fnmatchcase(entry.rsplit("/", 1)[-1], name):
                texts.append(_read_rules(view, entry, seen))
    return "\n".join(texts)


# -- ufw and iptables --------------------------------------------------------------------------------------------------


def _judge_ufw(view: View, port: int) -> Iterator[ClosedFirewall]:
    if not is_enabled(view, "ufw.service") or _read_value(view, "/etc/ufw/ufw.conf", "ENABLED").lower() != "yes":
        return
    if _read_value(view, "/etc/default/ufw", "DEFAULT_INPUT_POLICY").upper() == "ACCEPT":
        return
    lines: list[str] = []
    for directory in ("/etc/ufw", "/lib/ufw", "/usr/lib/ufw"):
        for name in ("user.rules", "user6.rules", "before.rules", "after.rules"):
            lines += [
                line for line in view.lines(f"{directory}/{name}") if "ufw-user-input" in line or "-A ufw-" in line
            ]
    own = [line for line in lines if re.search(r"-A ufw6?-(?:user|before|after)-input\b", line)]
    if not _lets_in(own, port):
        yield ClosedFirewall("/etc/ufw/user.rules", "ufw", f"ufw allow {port}/tcp")


def _judge_iptables(view: View, port: int) -> Iterator[ClosedFirewall]:
    if not is_enabled(view, "netfilter-persistent.service", "iptables.service"):
        return
    for path in ("/etc/iptables/rules.v4", "/etc/sysconfig/iptables"):
        lines = view.lines(path)
        rules = [line for line in lines if line.startswith("-A ")]
        last = next((line for line in reversed(rules) if line.startswith("-A INPUT ")), "")
        closes = any(line.startswith(":INPUT DROP") for line in lines)
        closes = closes or re.fullmatch(r"-A INPUT -j (?:DROP|REJECT\b.*)\s*", last) is not None
        if closes and not _lets_in(rules, port):
            fix = f"sed -i '0,/^COMMIT/s//-A INPUT -p tcp --dport {port} -j ACCEPT\\nCOMMIT/' {path}"
            yield ClosedFirewall(path, "iptables", fix)


def _lets_in(rules: list[str], port: int) -> bool:
    """Say whether a rule of iptables-save(8) accepts the port, or something wider than this reader knows."""
    for rule in rules:
        target = re.search(r"-j (\S+)", rule)
        if target is None or not (target.group(1) == "ACCEPT" or "limit" in target.group(1)):
            continue
        ports = re.search(r"--dports? (\S+)", rule)
        if ports is not None and "-p udp" not in rule and _names_port(ports.group(1).replace(",", " "), port):
            return True
        if ports is None and not _IPTABLES_NARROW.search(rule):
            return True
    return False


def _read_value(view: View, path: str, key: str) -> str:
    for line in view.lines(path):
        name, equals, value = line.partition("=")
        if equals and name.strip() == key:
            return value.strip().strip("\"'")
    return ""


# -- firewalld ---------------------------------------------------------------------------------------------------------


def _judge_firewalld(view: View, port: int) -> Iterator[ClosedFirewall]:
    if not is_enabled(view, "firewalld.service"):
        return
    zone = _read_value(view, "/etc/firewalld/firewalld.conf", "DefaultZone") or "public"
    for directory in ("/etc/firewalld/zones", "/usr/lib/firewalld/zones"):
        path = f"{directory}/{zone.rsplit('/', 1)[-1]}.xml"
        text = view.text(path, _LIMIT)
        if text is None:
            continue
        opened = (_ZONE_OPEN.search(text) and port == 22) or 'target="ACCEPT"' in text
        ports = re.findall(r"<port\b[^>]*\bport=\"(\d{1,5}(?:-\d{1,5})?)\"", text)
        if not opened and not any(_names_port(each, port) for each in ports):
            fix = (
                "firewall-offline-cmd --add-service=ssh"
                if port == 22
                else f"firewall-offline-cmd --add-port={port}/tcp"
            )
            yield ClosedFirewall(path, "firewalld", fix)
        return
