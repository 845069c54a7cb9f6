"""Build the default template: ours against mkosi and against debootstrap with loop devices and mounts.

What is compared
  imagekit, cold   `imagekit build template --no-boot-test`, whole process: build, digest, offline verification, store.
                   Nothing is cached but package files.
  imagekit, warm   the same after one feature (node-exporter) was added: the base root and package indexes are cached.
  mkosi            mkosi (Debian's package) making a bootable GPT/ESP/ext4 disk.
  debootstrap      debootstrap, apt in the chroot, sfdisk, losetup, mkfs, mount, cp -a, shim and GRUB (debootstrap.sh).

All install the package list of `imagekit.build.packages`, without recommended packages, from one mirror on the
loopback interface. One untimed build of each comes first: it fills that mirror and the tool's own package cache, and
the disks are read to see that the packages and an initial RAM disk are on them. From then on nothing crosses the
network.

Whom that favours
  The peers: they neither verify nor digest nor store, mkosi cannot add Debian's signed GRUB and does not try, and both
  install security updates only of what they install after debootstrap. dpkg's fsyncs are off for all three.
  Us: in the warm build alone, where the peers have nothing of the kind to set against our cached root. mkosi's
  "incremental" mode caches a finished root, but not across a changed package list, so it would not help there.

Needs root, mkosi, debootstrap, dosfstools, systemd-container and loop devices (for the peers); about 6 GiB in $TMPDIR.
"""

import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from measure import (
    Aim,
    Contender,
    Timings,
    divide_medians,
    find_fastest,
    keep_below,
    make_parser,
    measure_interleaved,
    note,
    open_scratch,
    report,
    run_benchmark,
)
from mirror import open_mirror
from peers import Debootstrap, Mkosi, Site, clear_directory, require_packages, require_peers, write_etc_apt

from imagekit.build.apt_sources import choose_sources, read_machine_sources
from imagekit.build.mmdebstrap import MERGED_USR_HOOKS, read_default_sources
from imagekit.build.packages import choose_base_packages
from imagekit.definition.model import ImageDefinition
from imagekit.errors import Refused
from imagekit.host import run

COLD_AIM = 0.7
WARM_AIM = 0.35
_FEATURE = '[images.template]\nfeatures = ["node-exporter"]\n'
_WRITTEN = "computing the digest"  # the stage that begins when the disk is complete


class Imagekit:
    """Our builder in a home of its own; ``disk_seconds`` gets, for each cold build, when its disk was complete."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self.home = site.scratch / "imagekit"
        self.disk_seconds: list[float] = []

    def forget(self) -> None:
        """Leave only package files, which a cold build may have."""
        clear_directory(self.home, keep=("cache",))
        clear_directory(self.home / "cache", keep=("packages",))
        (self.home / "project").mkdir(parents=True)

    def add_feature(self) -> None:
        """Change the definition: the only difference between a cold build and the warm one after it."""
        if not list((self.home / "cache/roots").glob("*.tar")):
            raise Refused("there is no cached base root, so a warm build would be a cold one")
        (self.home / "project/imagekit.toml").write_text(_FEATURE)

    def build_cold(self) -> None:
        """Run the whole command on the default template."""
        moments: list[float] = []

        def listen(line: str) -> None:
            moment, _, stage = line.strip().partition("s  ")
            if stage.startswith(_WRITTEN):
                moments.append(float(moment))

        self._build(listen)
        self.disk_seconds += moments[:1]

    def build_warm(self) -> None:
        """Run the whole command on the changed definition."""
        self._build(None)

    def _build(self, on_line: Callable[[str], None] | None) -> None:
        argv = [sys.executable, "-m", "imagekit", "build", "template", "--no-boot-test"]
        environment = keep_below(self.home) | {"no_proxy": "127.0.0.1"}
        run(self._site.enter(*argv), environment=environment, directory=self.home / "project", on_line=on_line)

    def find_disk(self) -> Path:
        """Return the largest file of the store: the disk."""
        return max((self.home / "store").rglob("*"), key=lambda path: path.stat().st_size if path.is_file() else 0)


def main() -> int:
    """Run the benchmark; 0 when the aims are met."""
    arguments = make_parser(__doc__, rounds=3).parse_args()
    return run_benchmark(lambda: compare(arguments.rounds))


def compare(rounds: int) -> int:
    """Set everything up, build each once untimed, then measure."""
    if os.geteuid() != 0:
        raise Refused("mkosi and debootstrap need root", hint="run this benchmark with sudo")
    require_peers()
    definition = ImageDefinition("template")
    release = definition.base.release
    sources = choose_sources(read_machine_sources(), release) or read_default_sources(release.value)
    # The variant minbase, which both peers begin with, brings what the patterns name.
    named = choose_base_packages(release, definition.architecture, merged_usr=MERGED_USR_HOOKS.is_dir())
    packages = tuple(name for name in named if not name.startswith("?"))
    upstreams = list(dict.fromkeys(source.uri.rstrip("/") for source in sources))
    with open_scratch("build") as scratch, open_mirror(scratch / "mirror", upstreams) as mirror:
        site = Site(scratch, mirror, tuple(sources), release.value, packages)
        write_etc_apt(site)
        ours, peers = Imagekit(site), (Mkosi(site), Debootstrap(site))
        for peer in peers:
            peer.set_up()
        try:
            warm_up(ours, peers, packages)
            mirror.frozen = True
            ours.disk_seconds.clear()
            timings = measure_interleaved(
                [
                    Contender("imagekit, cold", ours.build_cold, ours.forget),
                    Contender("imagekit, warm", ours.build_warm, ours.add_feature),
                    *(Contender(peer.name, peer.build, peer.clear, peer.clear) for peer in peers),
                ],
                rounds,
            )
        finally:
            for peer in peers:
                peer.clear()
    return judge(timings, ours.disk_seconds)


def warm_up(ours: Imagekit, peers: Sequence[Mkosi | Debootstrap], packages: Sequence[str]) -> None:
    """Build with each once: fills the mirror and the package caches, and shows that the disks hold the same."""
    ours.forget()
    ours.build_cold()
    counts = [f"imagekit {require_packages(ours.find_disk(), packages)}"]
    ours.add_feature()
    ours.build_warm()
    for peer in peers:
        note(f"untimed first build: {peer.name}")
        peer.build()
        counts.append(f"{peer.name} {require_packages(peer.disk, packages)}")
        peer.clear()
    note(f"packages on the disks: {', '.join(counts)}")


def judge(timings: dict[str, Timings], disk_seconds: Sequence[float]) -> int:
    """Print the table and the ratios."""
    cold, warm, *peers = timings.values()
    rows = [cold, warm, *peers]
    if disk_seconds:
        rows.insert(1, Timings("imagekit, cold, until the disk is written", tuple(disk_seconds)))
    fastest = find_fastest(peers)
    aims = [
        Aim(f"cold / fastest peer ({fastest.name})", divide_medians(cold, fastest), COLD_AIM),
        Aim(f"warm / fastest peer ({fastest.name})", divide_medians(warm, fastest), WARM_AIM),
        Aim("warm / own cold", divide_medians(warm, cold), WARM_AIM),
    ]
    return report(rows, aims)


if __name__ == "__main__":
    raise SystemExit(main())
