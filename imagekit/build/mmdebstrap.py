"""mmdebstrap makes the root: from package files that are already here, or on top of a base root made earlier.

No step in here reaches the network. The base root (a tar archive in the cache, named by the digest of the package
files it was made of) is saved on the way, so that a build which only adds a feature starts from it.
"""

import functools
import hashlib
import importlib.resources
import os
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from imagekit.build.apt import PlannedPackage, Supplies
from imagekit.build.apt_sources import AptSource, parse_deb822, parse_one_line
from imagekit.build.namespace import run_isolated
from imagekit.build.packages import MERGED_USR
from imagekit.errors import ToolFailed
from imagekit.progress import Event, Progress

# Part of the name of a cached base root: raise it when the way a base is made changes.
RECIPE = 3
# mmdebstrap's way to lay out /usr merged from the start; without it usrmerge does that, and brings all of Perl along.
MERGED_USR_HOOKS = Path("/usr/share/mmdebstrap/hooks/merged-usr")
# Once, at the end: the kernel's own script would make an initrd that the packages after it make again.
_MAKE_INITRD = 'chroot "$1" update-initramfs -c -k all'
# File capabilities (ping's) and access lists (the journal's) are part of the packages' result.
_WITH_ATTRIBUTES = ("--numeric-owner", "--acls", "--xattrs", "--xattrs-include=security.capability")
# What each run of mmdebstrap puts in anew, the machine's mirror first of all.
_NOT_SAVED = ("./dev/*", "./etc/apt/sources.list", "./etc/apt/sources.list.d/*", "./etc/resolv.conf", "./etc/hostname")
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
    """What finish.sh is given: the archive of added files, units to enable, users to make (``name:shell:group,group``),
    and the directory with package files to install that no repository has.
    """

    additions: Path
    units: tuple[str, ...]
    users: tuple[str, ...]
    debs: Path


@functools.cache
def read_default_sources(release: str) -> tuple[AptSource, ...]:
    """Return the distribution's normal sources of ``release``, as mmdebstrap writes them when it is told none.

    Raises :class:`ToolFailed` when it wrote none: an image without them would never see a security update.
    """
    # Hooks write to descriptor 3, mmdebstrap itself to standard error alone.
    show = (
        'for file in "$1"/etc/apt/sources.list "$1"/etc/apt/sources.list.d/*; do test ! -f "$file" || cat "$file"; done'
    )
    # Not its mode chrootless, which needs no privilege: mmdebstrap 1.5 refuses that one to root.
    skip = "--skip=update,cleanup,chroot/mount,check/qemu"
    variant = ["--quiet", "--mode=root", "--variant=custom", skip, "--format=null"]
    command = ["mmdebstrap", *variant, f"--setup-hook=({show}) >&3", release, "-"]
    said = run_isolated(["sh", "-c", 'exec 3>&1 1>&2; exec "$@"', "sh", *command]).output.decode()
    if found := (*parse_one_line(said), *parse_deb822(said)):
        return found
    raise ToolFailed(f"mmdebstrap names no package source for {release}")


def make_root(
    plan: RootPlan, supplies: Supplies, finish: Finish, workdir: Path, cache: Path, progress: Progress
) -> Path:
    """Make the finished root in ``workdir/root`` and return that path; the cached base is used when it is there.

    A crash leaves ``workdir`` (swept by the next build) and never a cached base that is not whole.
    """
    root = workdir / "root"
    root.mkdir()
    base = cache / "roots" / f"{plan.release}-{plan.architecture}-{plan.base_key[:32]}.tar"
    if base.is_file():
        progress(Event("unpacking the cached base root"))
        base.touch()  # the age by which old bases are removed is that of their last use
        run_isolated(["tar", "--extract", *_WITH_ATTRIBUTES, "--directory", os.fspath(root), "--file", os.fspath(base)])
    else:
        wanted = [f"--include={','.join(_included(plan.base))}", f"--customize-hook={_MAKE_INITRD}"]
        if MERGED_USR in plan.base:
            wanted.insert(0, f"--hook-dir={MERGED_USR_HOOKS}")
        _run_mmdebstrap("minbase", plan, plan.base_files, supplies, wanted, workdir, progress)
        progress(Event("saving the base root"))
        _save_base(root, base)
    # mmdebstrap copies the machine's resolver into the root, through the link that systemd-resolved has made of it.
    run_isolated(["rm", "-f", os.fspath(root / "etc/resolv.conf")])
    script = workdir / "finish.sh"
    script.write_text(importlib.resources.files("imagekit.build").joinpath("templates/finish.sh").read_text())
    in_base = frozenset(plan.base_files)
    added = [package for package in plan.all_files if package not in in_base]
    hooks = [_install_extra(plan, supplies)] if plan.extra else []
    hooks.append(_finish(script, finish))
    progress(Event("installing what the definition adds" if plan.extra else "finishing the root"))
    _run_mmdebstrap("custom", plan, added, supplies, [f"--customize-hook={hook}" for hook in hooks], workdir, progress)
    return root


def _run_mmdebstrap(
    variant: str,
    plan: RootPlan,
    files: Sequence[PlannedPackage],
    supplies: Supplies,
    wanted: Sequence[str],
    workdir: Path,
    progress: Progress,
) -> None:
    """Run mmdebstrap on ``workdir/root`` with package files and signed lists put in place, so that nothing is fetched.

    ``force-unsafe-io`` is for the build only, and finish.sh removes it: a crash discards the whole root anyway.
    """
    given = workdir / "packages.txt"
    given.write_text("".join(f"{package.file}\n" for package in files))
    argv = [
        *("mmdebstrap", "--mode=root", "--format=directory", f"--variant={variant}"),
        *(f"--architectures={plan.architecture}", "--skip=update,check/empty,output/dev"),
        *('--aptopt=APT::Install-Recommends "false"', "--dpkgopt=force-unsafe-io"),
        *(f"--setup-hook={_provide_packages(supplies, given)}", *wanted),
        *(plan.release, os.fspath(workdir / "root"), os.fspath(supplies.sources_list)),
    ]

    def tell(line: str) -> None:
        for sign, stage in _STAGES.items():
            if line.startswith(sign):
                progress(Event(stage))

    # INITRD=No is what initramfs-tools' own script under /etc/kernel/postinst.d asks for.
    surroundings = {"SOURCE_DATE_EPOCH": str(plan.epoch), "TMPDIR": os.fspath(workdir), "INITRD": "No"}
    run_isolated(argv, environment=surroundings, on_line=tell)
    run_isolated(["find", os.fspath(workdir / "root/dev"), "-mindepth", "1", "-delete"])
    # apt gives these to _apt or to root, depending on who may pass through the cache; it makes them anew when it runs.
    partial = ("var/cache/apt/archives/partial", "var/lib/apt/lists/partial")
    run_isolated(["rm", "-rf", *(os.fspath(workdir / "root" / path) for path in partial)])


def _save_base(root: Path, base: Path) -> None:
    """Save the base root beside its place in the cache, then give it its name; a crash leaves a ``.part`` file."""
    base.parent.mkdir(parents=True, exist_ok=True)
    aside = base.with_name(f"{base.name}.{os.getpid()}.part")
    left_out = [f"--exclude={path}" for path in _NOT_SAVED]
    options = [*_WITH_ATTRIBUTES, "--sort=name", "--anchored", *left_out]
    try:
        run_isolated(["tar", "--create", *options, "--file", os.fspath(aside), "--directory", os.fspath(root), "."])
        with aside.open("rb") as file:
            os.fsync(file.fileno())
        aside.replace(base)
    finally:
        aside.unlink(missing_ok=True)


def remove_root(root: Path) -> None:
    """Remove a root whose files may belong to the identities of a user namespace."""
    if root.exists():
        run_isolated(["rm", "-rf", "--one-file-system", "--", os.fspath(root)])


def _included(names: Sequence[str]) -> list[str]:
    """Return the names without what the variant minbase brings by itself."""
    return [name for name in names if not name.startswith("?") and name != "apt"]


def _provide_packages(supplies: Supplies, files: Path) -> str:
    """A hook that gives the new root its package files and the signed lists, so that nothing is fetched."""
    target = '"$1/var/cache/apt/archives/"'
    lists = '"$1/var/lib/apt/lists/"'
    packages, given, indexes = (shlex.quote(os.fspath(path)) for path in (supplies.packages, files, supplies.lists))
    return (
        f"mkdir -p {target} {lists} && (cd {packages} && "
        f"xargs --no-run-if-empty -d '\\n' cp --reflink=auto -t {target} < {given}) && "
        f"find {indexes} -maxdepth 1 -name '*_*' -exec cp --reflink=auto -t {lists} {{}} +"
    )


def _install_extra(plan: RootPlan, supplies: Supplies) -> str:
    """A hook that installs what this definition adds, with apt from outside: no network, no resolver in the root."""
    sources = [f"-oDir::Etc::sourcelist={supplies.sources_list}", "-oDir::Etc::sourceparts=-"]
    command = shlex.join(["apt-get", "-q", "--yes", *sources, "--no-download"])
    install = f'{command} -oDPkg::Chroot-Directory="$1" install -- {shlex.join(plan.extra)}'
    return f'APT_CONFIG="$MMDEBSTRAP_APT_CONFIG" {install}'


def _finish(script: Path, finish: Finish) -> str:
    """A hook that runs finish.sh."""
    words = [os.fspath(finish.additions), " ".join(finish.units), " ".join(finish.users), os.fspath(finish.debs)]
    return f'sh {shlex.quote(os.fspath(script))} "$1" {shlex.join(words)}'
