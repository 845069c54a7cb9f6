"""Where Nix builds: the nearest place that can make images for the wanted processor, and why it was taken."""

from dataclasses import dataclass

from imagekit.build.nix.tool import Nix, list_other_systems
from imagekit.errors import ToolMissing
from imagekit.host.ssh_target import SshTarget
from imagekit.settings import NixPlace


@dataclass(frozen=True, slots=True)
class Candidates:
    """What there is to build with.

    ``system`` is Nix's name of the wanted processor, ``aarch64-linux``. ``nix`` says why this machine's Nix can build
    for it, or is empty with ``no_nix`` saying why not; ``host`` is the configured machine; ``vagrant`` likewise says
    why the VM could be had, or is empty with ``no_vagrant``.
    """

    system: str
    nix: str
    no_nix: str
    host: SshTarget | None
    vagrant: str
    no_vagrant: str


@dataclass(frozen=True, slots=True)
class Choice:
    """The place that was chosen, and why, in words that a person reads before it is used."""

    place: NixPlace
    why: str


def explain_system(nix: Nix, system: str, oldest: tuple[int, int]) -> tuple[str, str]:
    """Return why ``nix`` can build for ``system``, and nothing; or nothing, and why it cannot.

    ``oldest`` is the first Nix that can evaluate the flake. A system of its own comes before one that is emulated
    (binfmt_misc, for which ``extra-platforms`` stands), and that before machines to which its daemon hands builds on,
    such as nix-darwin's linux-builder.
    """
    if nix.version < oldest:
        return "", f"Nix here is {'.'.join(map(str, nix.version))}, and the flake wants {'.'.join(map(str, oldest))}"
    if nix.system == system:
        return f"Nix here builds for {system} natively", ""
    if system in nix.extra_platforms:
        return f"Nix here also runs programs for {system}", ""
    if others := list_other_systems(nix).get(system):
        return f"Nix here hands builds for {system} on to {', '.join(others)}", ""
    return "", f"Nix here builds for {nix.system} only"


def choose_place(asked: NixPlace, found: Candidates) -> Choice:
    """Return where to build: what was ``asked`` for, else this machine, the configured host, or the VM, in this order.

    Raises :class:`ToolMissing` with what to do when the place asked for is not to be had, or none is.
    """
    match asked:
        case NixPlace.LOCAL if not found.nix:
            raise ToolMissing(f"this machine cannot build for {found.system}: {found.no_nix}", hint=_explain(found))
        case NixPlace.REMOTE if found.host is None:
            raise ToolMissing(
                "no machine is configured to build on", hint='set nix_host = "ssh://user@host" in settings.toml'
            )
        case NixPlace.VAGRANT if not found.vagrant:
            raise ToolMissing(f"the build VM is not to be had: {found.no_vagrant}")
        case NixPlace.AUTO:
            return _choose(found)
        case _:
            return Choice(asked, "it was asked for")


def _choose(found: Candidates) -> Choice:
    if found.nix:
        return Choice(NixPlace.LOCAL, found.nix)
    if found.host is not None:
        return Choice(NixPlace.REMOTE, f"{found.host} is configured, and {found.no_nix}")
    if found.vagrant:
        return Choice(NixPlace.VAGRANT, f"{found.no_nix}, no machine is configured as nix_host, and {found.vagrant}")
    raise ToolMissing(
        f"nothing here can build for {found.system}: {found.no_nix}; {found.no_vagrant}", hint=_explain(found)
    )


def _explain(found: Candidates) -> str:
    return (
        f"one of these will do: Nix on a Linux that runs {found.system} (its own, or by binfmt with extra-platforms in "
        'nix.conf); a machine with Nix, as nix_host = "ssh://user@host" in settings.toml; on a Mac, '
        "nix-darwin's linux-builder; or Vagrant with one of its providers"
    )
