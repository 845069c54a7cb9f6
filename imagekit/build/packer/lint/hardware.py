"""Rules about memory, serial ports and the guest agent."""

from collections.abc import Iterator

from imagekit.build.packer.lint.rule import ANY, PROXMOX, Case, Finding, Level, Rule, Subject

_LEAST_MEMORY = 256


def find_small_memory(case: Case) -> Iterator[Finding]:
    """Yield memory with which nothing boots."""
    memory = case.block.read_number("memory")
    if memory is not None and memory < _LEAST_MEMORY:
        yield case.at(case.block, "memory", f"memory = {memory} MiB")


def find_missing_serial(case: Case) -> Iterator[Finding]:
    """Yield a display on a serial port that the machine has not."""
    serials = case.block.get("serials")
    if serials is not None and not isinstance(serials, tuple):
        return
    for block in case.block.list_blocks("vga"):
        kind = block.read_text("type", "") or ""
        port = kind.removeprefix("serial")
        if kind.startswith("serial") and port in ("0", "1", "2", "3") and int(port) >= len(serials or ()):
            yield case.at(block, "type", f"type = {kind!r}, and serials has {len(serials or ())}")


def find_agent_off(case: Case) -> Iterator[Finding]:
    """Yield machines whose address nobody tells."""
    reaches = case.block.read_text("communicator", "ssh")
    host = "winrm_host" if reaches == "winrm" else "ssh_host"
    if case.block.read_flag("qemu_agent") is False and reaches in ("ssh", "winrm") and case.block.lacks(host):
        yield case.at(
            case.block, "qemu_agent", f"qemu_agent = false and no {host}", f"set {host}, or qemu_agent = true"
        )


RULES = (
    Rule(
        "memory-small", Level.ERROR, Subject.HARDWARE, ANY, find_small_memory,
        "the plugins turn less than 16 (qemu: 10) into 512 without a word, and with the rest nothing boots",
        "memory = 2048; it counts MiB",
    ),
    Rule(
        "serial-missing", Level.ERROR, Subject.HARDWARE, PROXMOX, find_missing_serial,
        "the machine has no display and no serial port, so nobody sees it boot", 'serials = ["socket"]',
    ),
    Rule(
        "agent-off", Level.ERROR, Subject.HARDWARE, PROXMOX, find_agent_off,
        "the plugin learns the machine's address from the agent alone and waits until ssh_timeout ends",
        "set ssh_host, or qemu_agent = true",
    ),
)  # fmt: skip
