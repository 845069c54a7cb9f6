"""What a builder must have, looked at in seconds before minutes are spent: one row for each, all before anything fails.

An SD image is on its builder about three times at once: the files of the system in the store, its root filesystem as
an image, and the card's image with that one unpacked in it (nixpkgs, nixos/modules/installer/sd-card). Full disks are
what image builds fail of most. Nothing here writes, but for the flake's copy in Nix's store, or goes to the network.
"""

import re
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from imagekit.build.nix.failure import explain_messages
from imagekit.build.nix.tool import OLDEST_TRIED, OLDEST_WITH_FLAKES, Nix, list_other_systems, make_metadata_command
from imagekit.errors import DefinitionInvalid, HostFailed, ToolFailed, ToolMissing
from imagekit.host.ability import Ability
from imagekit.host.here import ThisMachine
from imagekit.host.host import Host
from imagekit.image import format_bytes

KEY, LOCK = "key to log in", "lock"
_COPIES = 3
_SAME_BYTES = 256 << 20  # what two looks at one filesystem may differ by
_MOST_SKEW_SECONDS = 300
_DAY_SECONDS = 86400
_SECONDS = 60.0
_BUILDS_IN_STATE = (2, 30)  # from here on builds are made below Nix's state, before that in TMPDIR (release notes 2.30)
# A way to the network that leads nowhere: what is asked for there fails at once.
_NO_NETWORK = {
    **{f"{kind}_proxy": "http://127.0.0.1:9" for kind in ("http", "https", "all", "ftp")},
    "no_proxy": "",
    "NO_PROXY": "",
    "GIT_SSH_COMMAND": "false",
    "GIT_TERMINAL_PROMPT": "0",
}
_OUT_OF_STEP = re.compile(
    r"requires lock file changes|unable to (?:download|access|fetch)|while updating the flake input|"
    r"in the flake registries|program 'git' failed|cannot update (?:unlocked )?flake input"
)


@dataclass(frozen=True, slots=True)
class BuildNeed:
    """What one build asks of a builder and of this machine.

    ``image_bytes`` is the expected size of the unpacked image, ``workspace`` a directory here where it will lie,
    ``flake`` the copy of the flake on the builder, empty while there is none. ``ssh_keys`` is the number of keys that
    the image will accept, ``None`` for a flake that takes none from the definition. ``oldest_nix`` is the first version
    that can evaluate the flake.
    """

    system: str
    image_bytes: int
    workspace: Path
    flake: str = ""
    ssh_keys: int | None = None
    oldest_nix: tuple[int, int] = OLDEST_WITH_FLAKES
    memory_bytes: int = 2 << 30


def examine_builder(host: Host, nix: Nix, need: BuildNeed) -> tuple[Ability, ...]:
    """Look at everything that a build on ``host`` needs and return a row for each; raises only :class:`HostFailed`."""
    rows = [_examine_version(nix, need.oldest_nix), _examine_system(host, nix, need.system), _examine_user(nix)]
    rows += _examine_space(host, nix, need)
    rows += [_examine_memory(host, need.memory_bytes), _examine_clock(host)]
    if need.ssh_keys is not None:
        rows.append(examine_keys(need.ssh_keys))
    if need.flake:
        rows.append(examine_lock(host, nix, need.flake))
    return tuple(rows)


def require_ready(abilities: Iterable[Ability], host: str) -> None:
    """Raise one error that names everything that is required and not there; ``host`` is the builder's name.

    It is a :class:`DefinitionInvalid` when the definition alone is to blame, else a :class:`HostFailed`.
    """
    failed = [each for each in abilities if not each.ok and each.required]
    if not failed:
        return
    problems = [f"{each.subject}: {each.found}" for each in failed]
    hint = "\n".join(dict.fromkeys(each.note for each in failed if each.note)) or None
    if all(each.subject in (KEY, LOCK) for each in failed):
        raise DefinitionInvalid("the image is not ready to be built", problems=problems, hint=hint)
    raise HostFailed(f"{host} is not ready to build ({'; '.join(problems)})", hint=hint)


def _examine_version(nix: Nix, oldest: tuple[int, int]) -> Ability:
    if nix.version < oldest:
        wanted = ".".join(map(str, oldest))
        found = f"{nix.said}, which cannot evaluate this flake: {wanted} or newer is needed"
        return Ability("Nix", False, found, f"install Nix {wanted} or newer there: https://nixos.org/download")
    old = nix.version < OLDEST_TRIED
    note = "imagekit was tried with 2.8 and newer" if old else ""
    return Ability("Nix", not old, f"{nix.said}, flakes and nix-command", note, required=False)


def _examine_system(host: Host, nix: Nix, system: str) -> Ability:
    """Say how derivations for ``system`` get built: by itself, by emulation, or on a machine of Nix's own list."""
    subject = f"builds for {system}"
    others = list_other_systems(nix).get(system, ())
    if nix.max_jobs == "0" and not others:
        return Ability(subject, False, "max-jobs is 0 and no builder is listed", "set max-jobs = auto in nix.conf")
    if nix.system == system:
        return Ability(subject, True, "natively")
    if system in nix.extra_platforms:
        processor = system.partition("-")[0]
        handlers = [f"/proc/sys/fs/binfmt_misc/{name}" for name in (system, f"qemu-{processor}")]
        known = any(host.run(["test", "-e", path], check=False).status == 0 for path in handlers)
        how = "by emulation (extra-platforms), several times slower" if known else "as extra-platforms says"
        return Ability(subject, True, how)
    if others:
        return Ability(subject, True, f"on {', '.join(others)}, as its builders say")
    return Ability(
        subject,
        False,
        f"it is {nix.system}, without emulation or a builder for it",
        "boot.binfmt.emulatedSystems on NixOS; elsewhere qemu-user-static and extra-platforms; or another --builder",
    )


def _examine_user(nix: Nix) -> Ability:
    if not nix.allowed:
        return Ability("user", False, "may not use Nix there", "add the user to allowed-users in nix.conf there")
    note = (
        "" if nix.trusted else "the daemon ignores settings of this user, substituters among them; no build needs any"
    )
    return Ability("user", True, "trusted" if nix.trusted else "allowed, not trusted", note)


def _examine_space(host: Host, nix: Nix, need: BuildNeed) -> list[Ability]:
    """Compare free space with what the build takes there, and what the image takes here.

    The store takes the system's files, the place of builds two images; where both are one filesystem, it takes three.
    """
    builds = _find_build_directory(nix)
    store_free, builds_free = host.free_bytes(nix.store_dir), host.free_bytes(builds)
    hint = "nix-collect-garbage there frees what nothing refers to"
    if abs(store_free - builds_free) < _SAME_BYTES:
        rows = [_compare(f"space in {nix.store_dir}", store_free, _COPIES * need.image_bytes, hint)]
    else:
        rows = [
            _compare(f"space in {nix.store_dir}", store_free, need.image_bytes, hint),
            _compare(f"space in {builds}", builds_free, 2 * need.image_bytes, f"{hint}; or set build-dir in nix.conf"),
        ]
    here = ThisMachine().free_bytes(str(need.workspace))
    if host.name != ThisMachine().name or abs(here - store_free) >= _SAME_BYTES:
        where = f"space here in {need.workspace}"
        rows.append(_compare(where, here, _COPIES * need.image_bytes, "imagekit store gc frees old versions"))
    return rows


def _find_build_directory(nix: Nix) -> str:
    if nix.build_dir:
        return nix.build_dir
    if nix.version >= _BUILDS_IN_STATE:
        return f"{nix.state_dir}/builds"
    return nix.environment.get("TMPDIR", "/tmp")


def _compare(subject: str, free: int, need: int, hint: str) -> Ability:
    found = f"{format_bytes(free)} free, the build takes about {format_bytes(need)}"
    return Ability(subject, free >= need, found, "" if free >= need else hint)


def _examine_memory(host: Host, need: int) -> Ability:
    """Compare memory with what evaluating a NixOS configuration takes; half of it fails for certain."""
    total = _read_memory(host)
    if not total:
        return Ability("memory", True, "unknown", required=False)
    low = total < need * 9 // 10  # a machine of 2 GiB has less than 2 GiB
    note = f"evaluating a NixOS configuration takes about {format_bytes(need)}: give it more, or swap" if low else ""
    return Ability("memory", not low, format_bytes(total), note, required=total < need // 2)


def _read_memory(host: Host) -> int:
    """Return memory and swap in bytes, 0 when the host does not tell."""
    done = host.run(["cat", "/proc/meminfo"], check=False)
    if done.status == 0:
        sizes = re.findall(r"^(?:MemTotal|SwapTotal):\s+(\d{1,15}) kB$", done.output.decode(errors="replace"), re.M)
        return sum(int(size) for size in sizes) << 10
    try:
        said = host.run(["sysctl", "-n", "hw.memsize"], check=False).output.decode(errors="replace").strip()
    except ToolMissing:
        return 0
    return int(said) if said.isdecimal() and len(said) < 16 else 0


def _examine_clock(host: Host) -> Ability:
    """Compare clocks: certificates of downloads are not valid on a machine that lives in the wrong year."""
    said = host.run(["date", "+%s"], check=False).output.decode(errors="replace").strip()
    if not said.isdecimal() or len(said) > 12:
        return Ability("clock", True, "unknown", required=False)
    skew = int(said) - int(time.time())
    if abs(skew) <= _MOST_SKEW_SECONDS:
        return Ability("clock", True, "agrees with this machine's")
    found = f"{abs(skew)} s {'ahead of' if skew > 0 else 'behind'} this machine's"
    return Ability("clock", False, found, "set it: systemctl status systemd-timesyncd", abs(skew) > _DAY_SECONDS)


def examine_keys(count: int) -> Ability:
    """Say whether somebody will be able to log in: the image has no password and nothing else to log in with."""
    if count:
        return Ability(KEY, True, f"{count} SSH key{'s' * (count > 1)}")
    return Ability(KEY, False, "the image would accept no SSH key", "add ssh_keys to the image's [site] table")


def examine_lock(host: Host, nix: Nix, flake: str) -> Ability:
    """Say whether flake.lock of the copy in directory ``flake`` of ``host`` pins what its flake.nix asks for.

    Nix locks what is missing by asking the network, so it is asked to do it with a network that leads nowhere: a lock
    that is in step answers from the two files alone.
    """
    command = make_metadata_command(nix, f"path:{flake}", offline=True)
    try:
        done = host.run(command, environment={**nix.environment, **_NO_NETWORK}, timeout=_SECONDS, check=False)
    except ToolFailed as problem:  # it did not end in time
        return Ability("asking Nix", False, problem.message)
    if done.status == 0:
        return Ability(LOCK, True, "in step with flake.nix")
    if _OUT_OF_STEP.search(done.errors):
        note = "run imagekit update, or nix flake lock in the flake's directory, and look at what it changes"
        return Ability(LOCK, False, "flake.lock does not fit flake.nix", note)
    error = explain_messages([done.errors], (), done.status, host.name)
    subject = LOCK if isinstance(error, DefinitionInvalid) else "asking Nix"  # a daemon that is down is no lock's fault
    return Ability(subject, False, error.message, error.hint or "")
