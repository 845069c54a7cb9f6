"""Why the VM did not do what it should: Vagrant's errors, by the class that it names, as sentences with a hint."""

import re

from imagekit.build.vagrant.run import Outcome
from imagekit.build.vagrant.steps import BOOTING, BOX, MAKING, PREPARING
from imagekit.errors import HostFailed

_NO_KVM = "see that virtualization is on in the firmware, and that this VM's host passes it on"
# The exception's class without its modules (lib/vagrant/errors.rb, and vagrant-libvirt's errors.rb): sentence, hint.
_NEW = "imagekit vm destroy makes room for a new one"
_CONSOLE = "look at its console in the provider's program"
_ONLINE = "see that this machine reaches the internet, or set vagrant_box to one that `vagrant box list` shows"
_KNOWN = {
    "ProviderNotFound": ("Vagrant has no plugin for the VM's provider", "imagekit doctor says which to install"),
    "ProviderNotUsable": ("the VM's provider cannot be used", "imagekit doctor says what is missing"),
    "BoxAddShortNotFound": ("the VM's box could not be fetched", _ONLINE),
    "BoxAddNoMatchingProvider": ("the VM's box is not made for this provider", "set vagrant_box to one that is"),
    "BoxAddNoMatchingVersion": ("the VM's box has no such version", "set vagrant_box to another box"),
    "BoxChecksumMismatch": ("the box that was fetched is damaged", "start it again"),
    "DownloaderError": ("the VM's box could not be fetched", _ONLINE),
    "VMBootTimeout": ("the VM started but did not answer by SSH in time", f"{_CONSOLE}; {_NEW}"),
    "VMBootBadState": ("the VM stopped while it was booting", f"{_CONSOLE}, or {_NO_KVM}"),
    "SSHAuthenticationFailed": ("the VM does not accept Vagrant's key", _NEW),
    "MachineLocked": ("another Vagrant is working on the VM", "wait until it has ended"),
    "MachineActionLockedError": ("another Vagrant is working on the VM", "wait until it has ended"),
    "NoStoragePool": ("libvirt has no storage pool for the VM's disk", "make one with virsh pool-define-as"),
    "ActivateNetworkError": ("libvirt could not start the VM's network", "it needs dnsmasq and a firewall program"),
    "CreateNetworkError": (
        "libvirt could not make the VM's network",
        "virsh net-list --all shows what is there",
    ),
    "FogLibvirtConnectionError": ("libvirt does not answer", "see that it runs, and that you are in group libvirt"),
    "NoIpAddressError": ("the VM got no network address", f"{_CONSOLE}; it may not have booted"),
}
_BY_STEP = {
    BOX: "the VM's box could not be fetched",
    MAKING: "the VM could not be made",
    BOOTING: "the VM did not come up",
    PREPARING: "the VM came up, but could not be made ready to build",
}
_SAID = re.compile(r"provision\.sh: (.{1,300})")
_NOISE = re.compile(r"-- |The SSH command responded|assumes that this means|should be in the log|went wrong\.")


class VmFailed(HostFailed):
    """The build VM did not do its part; ``detail`` is the end of what Vagrant said."""

    def __init__(self, message: str, *, detail: str = "", hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.detail = detail
        if detail:
            self.add_note(detail)


def explain_failure(outcome: Outcome, what: str) -> VmFailed:
    """Return the error for a call that failed; ``what`` is the sentence when nothing better is known."""
    sentence, hint = _BY_STEP.get(outcome.step, what), None
    said = [match[1] for line in outcome.lines if (match := _SAID.search(line))]
    if outcome.late:
        sentence, hint = f"{what}: Vagrant did not end in time", "imagekit vm status says what it left"
    elif said and outcome.step == PREPARING:
        sentence = f"{sentence}: {said[-1]}"
    elif outcome.fault is not None and outcome.fault.short_name in _KNOWN:
        sentence, hint = _KNOWN[outcome.fault.short_name]
    elif outcome.status < 0:
        sentence = f"{what}: Vagrant was killed by signal {-outcome.status}"
    lines = [line for line in outcome.lines if not _NOISE.match(line)]
    return VmFailed(sentence, detail="\n".join(lines[-15:]), hint=hint)
