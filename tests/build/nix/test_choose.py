"""Where Nix builds, and why."""

from dataclasses import replace

import pytest

from imagekit.build.nix.choose import Candidates, choose_place, explain_system
from imagekit.build.nix.tool import Flavour, Nix
from imagekit.errors import ToolMissing
from imagekit.host.ssh_target import SshTarget
from imagekit.settings import NixPlace

_NIX = Nix("nix", Flavour.NIX, (2, 26, 3), "nix (Nix) 2.26.3", "x86_64-linux")
_NOTHING = Candidates("aarch64-linux", "", "there is no Nix on this machine", None, "", "Vagrant is not installed")
_HOST = SshTarget("nas.example", "builder")
_ALL = replace(_NOTHING, nix="Nix here builds for aarch64-linux natively", host=_HOST, vagrant="Vagrant has libvirt")


@pytest.mark.parametrize(
    ("nix", "why"),
    [
        (replace(_NIX, system="aarch64-linux"), "natively"),
        (replace(_NIX, extra_platforms=("i686-linux", "aarch64-linux")), "also runs programs for aarch64-linux"),
        (
            replace(_NIX, system="aarch64-darwin", builders="ssh-ng://builder@linux-builder aarch64-linux - 4"),
            "on to ssh-ng://builder@linux-builder",
        ),
    ],
)
def test_nix_that_can_build_says_how(nix: Nix, why: str) -> None:
    """A native Nix, one with binfmt and one with a Linux builder can make images for a Raspberry Pi."""
    said, no_nix = explain_system(nix, "aarch64-linux", (2, 4))
    assert why in said
    assert no_nix == ""


def test_nix_that_cannot_build_says_what_it_is() -> None:
    """The reason names the one system that it builds for."""
    assert explain_system(_NIX, "aarch64-linux", (2, 4)) == ("", "Nix here builds for x86_64-linux only")


@pytest.mark.parametrize(
    ("found", "place"),
    [
        (_ALL, NixPlace.LOCAL),
        (replace(_ALL, nix=""), NixPlace.REMOTE),
        (replace(_ALL, nix="", host=None), NixPlace.VAGRANT),
    ],
)
def test_nearest_place_is_taken(found: Candidates, place: NixPlace) -> None:
    """This machine comes before another one, and the VM is the last resort; the choice has its reason."""
    choice = choose_place(NixPlace.AUTO, found)
    assert choice.place is place
    assert choice.why


def test_reason_of_the_vm_says_what_is_not_there() -> None:
    """Whoever waits for a VM to start reads why the nearer places were passed over."""
    why = choose_place(NixPlace.AUTO, replace(_ALL, nix="", host=None, no_nix="there is no Nix here")).why
    assert "there is no Nix here" in why
    assert "nix_host" in why


@pytest.mark.parametrize("asked", [NixPlace.LOCAL, NixPlace.REMOTE, NixPlace.VAGRANT])
def test_place_that_was_asked_for_is_taken(asked: NixPlace) -> None:
    """What the operator says comes before what is nearest."""
    assert choose_place(asked, _ALL).place is asked


@pytest.mark.parametrize(
    ("asked", "sentence"),
    [
        (NixPlace.AUTO, "nothing here can build for aarch64-linux: there is no Nix on this machine"),
        (NixPlace.LOCAL, "this machine cannot build for aarch64-linux"),
        (NixPlace.REMOTE, "no machine is configured"),
        (NixPlace.VAGRANT, "Vagrant is not installed"),
    ],
)
def test_place_that_is_not_there_is_told(asked: NixPlace, sentence: str) -> None:
    """A place that is not to be had is an error with what would help, never another place in silence."""
    with pytest.raises(ToolMissing, match=sentence):
        choose_place(asked, _NOTHING)
