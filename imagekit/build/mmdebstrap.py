"""mmdebstrap makes the root: from package files that are already here, or on top of a base root made earlier.

No step in here reaches the network. The base root (a tar archive in the cache, named by the digest of the package
files it was made of) is saved on the way, so that a build which only adds a feature starts from it.
"""

import functools
import hashlib
import importlib.resources
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from imagekit.build.apt import AptRoom, PlannedPackage
from imagekit.build.apt_sources import AptSource, parse_one_line
from imagekit.build.namespace import namespace_command
from imagekit.host import run
from imagekit.host.local import format_command
from imagekit.progress import Event, Progress

# Part of the name of a cached base root: raise it when the way a base is made changes.
RECIPE = 1
_STAGES = {
    "I: extracting archives": "unpacking the minimal system",
    "I: installing essential": "installing the minimal system",
    "I: installing remaining": "installing packages",
}


@dataclass(frozen=True, slots=True)
class RootPlan:
    """What a root is made of: ``base`` and ``extra`` name packages to ask apt for; the files are all in the cache."""

    release: str
    architecture: str
    epoch: int
    base: tuple[str, ...]
    base_files: tuple[PlannedPackage, ...]
    extra: tuple[str, ...]
    all_files: tuple[PlannedPackage, ...]

    @property
    def base_key(self) -> str:
        """The digest of everything that goes into the base root, in hexadecimal."""
        names = [f"{package.file} {package.sha256}" for package in self.base_files]
        text = "\n".join([str(RECIPE), self.release, self.architecture, str(self.epoch), *self.base, *names])
        return hashlib.sha256(text.encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Finish:
    """What finish.sh is given: the archive of added files, units to enable, users to make, package files to install."""

    additions: Path
    units: tuple[str, ...]
    users: tuple[str, ...]
    debs: tuple[Path, ...]


@functools.cache
def read_default_sources(release: str) -> tuple[AptSource, ...]:
    """Return the distribution's normal sources of ``release``, as mmdebstrap writes them when it is told none."""
    hook = 'cat "$1/etc/apt/sources.list" >&3'
    said = run(
        ["sh", "-c", 'exec 3>&1 1>&2; exec "$@"', "sh", "mmdebstrap", "--quiet", "--mode=chrootless", "--variant=custom",
         "--skip=update,cleanup", "--format=null", f"--setup-hook={hook}", release, "-"]
    )  # fmt: skip
    return tuple(parse_one_line(said.output.decode()))


def make_root(plan: RootPlan, room: AptRoom, finish: Finish, workdir: Path, cache: Path, progress: Progress) -> Path:
    """Make the finished root in ``workdir/root`` and return that path; the cached base is used when it is there.

    A crash leaves ``workdir`` (swept by the next build) and never a cached base that is not whole.
    """
    root = workdir / "root"
    root.mkdir()
    base = cache / "roots" / f"{plan.release}-{plan.architecture}-{plan.base_key[:32]}.tar"
    if base.is_file():
        progress(Event("unpacking the cached base root"))
        base.touch()  # the age by which old bases are removed is that of their last use
        run([*namespace_command(), "tar", "--extract", "--numeric-owner", "--directory", os.fspath(root),
             "--file", os.fspath(base)])  # fmt: skip
    else:
        base.parent.mkdir(parents=True, exist_ok=True)
        wanted = [f"--include={','.join(_included(plan.base))}"]
        _run_mmdebstrap("minbase", plan, plan.base_files, room, wanted, workdir, progress)
        progress(Event("saving the base root"))
        _save_base(root, base, workdir)
    # mmdebstrap copies the machine's resolver into the root, through the link that systemd-resolved has made of it.
    run([*namespace_command(), "rm", "-f", os.fspath(root / "etc/resolv.conf")])
    script = workdir / "finish.sh"
    script.write_text(importlib.resources.files("imagekit.build").joinpath("templates/finish.sh").read_text())
    added = [package for package in plan.all_files if package not in frozenset(plan.base_files)]
    hooks = [_install_extra(plan, room)] if plan.extra else []
    hooks.append(_finish(script, finish))
    progress(Event("installing what the definition adds" if plan.extra else "finishing the root"))
    _run_mmdebstrap("custom", plan, added, room, [f"--customize-hook={hook}" for hook in hooks], workdir, progress)
    return root


def _run_mmdebstrap(
    variant: str, plan: RootPlan, files: Sequence[PlannedPackage], room: AptRoom, wanted: Sequence[str], workdir: Path,
    progress: Progress,
) -> None:  # fmt: skip
    """Run mmdebstrap on ``workdir/root`` with package files and signed lists put in place, so that nothing is fetched.

    ``force-unsafe-io`` is for the build only, and finish.sh removes it: a crash discards the whole root anyway.
    """
    given = workdir / "packages.txt"
    given.write_text("".join(f"{package.file}\n" for package in files))
    argv = [
        *namespace_command(), "mmdebstrap", "--mode=root", "--format=directory", f"--variant={variant}",
        f"--architectures={plan.architecture}", "--skip=update,check/empty,output/dev",
        '--aptopt=APT::Install-Recommends "false"', "--dpkgopt=force-unsafe-io",
        f"--setup-hook={_provide_packages(room, given)}", *wanted,
        plan.release, os.fspath(workdir / "root"), os.fspath(room.sources_list),
    ]  # fmt: skip

    def tell(line: str) -> None:
        for sign, stage in _STAGES.items():
            if line.startswith(sign):
                progress(Event(stage))

    run(argv, environment={"SOURCE_DATE_EPOCH": str(plan.epoch), "TMPDIR": os.fspath(workdir)}, on_line=tell)
    run([*namespace_command(), "find", os.fspath(workdir / "root/dev"), "-mindepth", "1", "-delete"])


def _save_base(root: Path, base: Path, workdir: Path) -> None:
    """Save the base root: written in the build's directory, renamed whole. Left out is what each run puts in anew."""
    aside = workdir / "base.tar"
    left_out = [
        "./dev/*",
        "./etc/apt/sources.list",
        "./etc/apt/sources.list.d/*",
        "./etc/resolv.conf",
        "./etc/hostname",
    ]
    run([*namespace_command(), "tar", "--create", "--sort=name", "--numeric-owner", "--anchored",
         *(f"--exclude={path}" for path in left_out), "--file", os.fspath(aside), "--directory", os.fspath(root), "."])  # fmt: skip
    with aside.open("rb") as file:
        os.fsync(file.fileno())
    aside.replace(base)


def remove_root(root: Path) -> None:
    """Remove a root whose files may belong to the identities of a user namespace."""
    if root.exists():
        run([*namespace_command(), "rm", "-rf", "--one-file-system", "--", os.fspath(root)])


def _included(names: Sequence[str]) -> list[str]:
    """Return the names without what the variant minbase brings by itself."""
    return [name for name in names if not name.startswith("?") and name != "apt"]


def _provide_packages(room: AptRoom, files: Path) -> str:
    """A hook that gives the new root its package files and the signed lists, so that nothing is fetched."""
    target = '"$1/var/cache/apt/archives/"'
    lists = '"$1/var/lib/apt/lists/"'
    return (
        f"mkdir -p {target} {lists} && (cd {format_command([os.fspath(room.archives)])} && "
        f"xargs --no-run-if-empty -d '\\n' cp --reflink=auto -t {target} < {format_command([os.fspath(files)])}) && "
        f"find {format_command([os.fspath(room.lists)])} -maxdepth 1 -name '*_*' -exec cp --reflink=auto -t {lists} {{}} +"
    )


def _install_extra(plan: RootPlan, room: AptRoom) -> str:
    """A hook that installs what this definition adds, with apt from outside: no network, no resolver in the root."""
    options = [
        "-q",
        "--yes",
        f"-oDir::Etc::sourcelist={room.sources_list}",
        "-oDir::Etc::sourceparts=-",
        "--no-download",
    ]
    install = f'{format_command(["apt-get", *options])} -oDPkg::Chroot-Directory="$1" install'
    return f'APT_CONFIG="$MMDEBSTRAP_APT_CONFIG" {install} -- {format_command(plan.extra)}'


def _finish(script: Path, finish: Finish) -> str:
    """A hook that runs finish.sh."""
    words = [" ".join(finish.units), " ".join(finish.users), " ".join(os.fspath(deb) for deb in finish.debs)]
    return f'sh {format_command([os.fspath(script)])} "$1" {format_command([os.fspath(finish.additions), *words])}'
