"""The steps around mmdebstrap; whole roots are made by the integration tests."""

import os
import stat
from dataclasses import replace
from importlib import resources
from pathlib import Path

import pytest

from imagekit.build import mmdebstrap
from imagekit.build.apt import PlannedPackage, Supplies
from imagekit.build.apt_sources import choose_sources
from imagekit.build.mmdebstrap import Finish, RootPlan, make_root, read_default_sources, remove_root
from imagekit.build.namespace import run_isolated
from imagekit.definition.model import Distribution, Release
from imagekit.errors import ToolFailed
from imagekit.host import run
from imagekit.host.local import Completed
from imagekit.progress import Event

PACKAGE = PlannedPackage("tool_1_all.deb", 10, "0" * 64)
EXTRA = PlannedPackage("extra_1_all.deb", 10, "1" * 64)
PLAN = RootPlan("bookworm", "amd64", 1, ("?essential", "apt", "tool"), (PACKAGE,), (), (PACKAGE,))


@pytest.mark.parametrize("release", [one for one in Release if one.distribution is Distribution.DEBIAN])
def test_default_sources_are_the_distributions(release: Release) -> None:
    """What mmdebstrap writes by itself has the release, its updates and its security updates, from Debian's hosts."""
    sources = read_default_sources(release.value)
    assert {source.suite for source in sources} == {f"{release}", f"{release}-updates", f"{release}-security"}
    assert all(".debian.org/" in source.uri and "main" in source.components for source in sources)
    assert len(choose_sources(sources, release)) == 3


def test_image_never_goes_without_sources(monkeypatch: pytest.MonkeyPatch) -> None:
    """Should mmdebstrap tell nothing, the build ends: the image would never be updated."""
    monkeypatch.setattr(mmdebstrap, "run_isolated", lambda *_, **__: Completed(b"", "", 0))
    read_default_sources.cache_clear()
    try:
        with pytest.raises(ToolFailed, match="no package source for bookworm"):
            read_default_sources("bookworm")
    finally:
        read_default_sources.cache_clear()


def test_base_key_changes_with_every_input() -> None:
    """Another file, digest, release, architecture, time or wish is another base; an added package is not."""
    other_digest = replace(PACKAGE, sha256="2" * 64)
    others = [
        replace(PLAN, release="trixie"),
        replace(PLAN, architecture="arm64"),
        replace(PLAN, epoch=2),
        replace(PLAN, base=("?essential", "apt")),
        replace(PLAN, base_files=(PACKAGE, EXTRA)),
        replace(PLAN, base_files=(other_digest,)),
    ]
    keys = {plan.base_key for plan in others}
    assert len(keys) == len(others)
    assert PLAN.base_key not in keys
    assert replace(PLAN, extra=("extra",), all_files=(PACKAGE, EXTRA)).base_key == PLAN.base_key


class Stand:
    """A stand-in for mmdebstrap alone: it makes a root with hard cases, and everything else runs for real."""

    def __init__(self) -> None:
        self.calls: list[list[str]] = []
        self.environments: list[dict[str, str]] = []

    def __call__(self, argv: list[str], **options: object) -> Completed:
        """Run the step, or stand in for it."""
        if argv[0] != "mmdebstrap":
            return run_isolated(argv)
        self.calls.append(argv)
        environment = options["environment"]
        assert isinstance(environment, dict)
        self.environments.append(environment)
        root = Path(argv[-2])
        if "--variant=minbase" in argv:
            for part in ("etc/apt/sources.list.d", "dev", "usr/bin"):
                (root / part).mkdir(parents=True)
            (root / "etc/apt/sources.list").write_text("deb http://user:hunter2@mirror.example/debian bookworm main\n")
            (root / "etc/resolv.conf").write_text("nameserver 192.0.2.1\n")
            (root / "etc/hostname").write_text("builder\n")
            (root / "usr/bin/su").write_text("x")
            (root / "usr/bin/su").chmod(0o4755)
            (root / "usr/bin/ping").write_text("x")
            run(["setcap", "cap_net_raw+ep", os.fspath(root / "usr/bin/ping")])
        return Completed(b"", "", 0)


@pytest.fixture
def stand(monkeypatch: pytest.MonkeyPatch) -> Stand:
    """Put the stand-in where mmdebstrap is called."""
    made = Stand()
    monkeypatch.setattr(mmdebstrap, "run_isolated", made)
    return made


def make(directory: Path, cache: Path, plan: RootPlan, events: list[Event] | None = None) -> Path:
    """Make a root of ``plan`` in ``directory``."""
    directory.mkdir()
    supplies = Supplies(directory / "with space", directory / "lists", directory / "sources.list")
    finish = Finish(directory / "additions.tar", ("a.service",), ("ada:/bin/sh:",), directory / "debs")
    told = events if events is not None else []
    return make_root(plan, supplies, finish, directory, cache, told.append)


def test_second_build_starts_from_the_saved_base(stand: Stand, tmp_path: Path) -> None:
    """The base is saved once, with set-uid bits and capabilities, and without the machine's mirror and names."""
    cache = tmp_path / "cache"
    make(tmp_path / "first", cache, PLAN)
    (base,) = (cache / "roots").iterdir()
    assert base.name == f"bookworm-amd64-{PLAN.base_key[:32]}.tar"
    assert b"hunter2" not in base.read_bytes()
    events: list[Event] = []
    root = make(tmp_path / "second", cache, PLAN, events)
    assert events[0].stage == "unpacking the cached base root"
    assert [("--variant=minbase" in call) for call in stand.calls] == [True, False, False]
    assert stat.S_IMODE((root / "usr/bin/su").stat().st_mode) == 0o4755
    assert b"cap_net_raw" in run(["getcap", os.fspath(root / "usr/bin/ping")]).output
    assert sorted(path.name for path in (root / "etc").iterdir()) == ["apt"]


def test_failed_save_leaves_no_base(stand: Stand, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A base that could not be written whole is not there at all."""

    def fail(argv: list[str], **options: object) -> Completed:
        if argv[0] == "tar":
            Path(argv[argv.index("--file") + 1]).write_bytes(b"half")
            raise OSError(28, "No space left on device")
        return stand(argv, **options)

    monkeypatch.setattr(mmdebstrap, "run_isolated", fail)
    with pytest.raises(OSError, match="No space left"):
        make(tmp_path / "build", tmp_path / "cache", PLAN)
    assert list((tmp_path / "cache/roots").iterdir()) == []


def test_mmdebstrap_gets_only_what_is_here(stand: Stand, tmp_path: Path) -> None:
    """Files come from the build's own directory, quoted; added packages are installed by name, without a download."""
    plan = replace(PLAN, extra=("extra",), all_files=(PACKAGE, EXTRA))
    make(tmp_path / "build", tmp_path / "cache", plan)
    base, added = (" ".join(call) for call in stand.calls)
    assert "--include=tool " in base
    assert "--skip=update" in base
    assert "with space'" in base
    assert "--no-download" in added
    assert "install -- extra" in added
    assert (tmp_path / "build/packages.txt").read_text() == "extra_1_all.deb\n"
    assert {environment["SOURCE_DATE_EPOCH"] for environment in stand.environments} == {"1"}


def test_root_is_removed_with_everything(tmp_path: Path) -> None:
    """A root goes with all its files; one that is not there is no error."""
    (tmp_path / "root/a/b").mkdir(parents=True)
    remove_root(tmp_path / "root")
    remove_root(tmp_path / "root")
    assert not (tmp_path / "root").exists()


def test_finish_script_is_posix_shell() -> None:
    """The script parses, stops at the first error, and quotes the root wherever it is written."""
    script = resources.files("imagekit.build").joinpath("templates/finish.sh")
    text = script.read_text()
    run(["sh", "-n", os.fspath(Path(str(script)))])
    assert "\nset -eu\n" in text
    for line in text.splitlines():
        assert "$root" not in line.replace('"$root', "") or line.lstrip().startswith("#"), line


def test_finish_removes_what_clones_would_share(tmp_path: Path) -> None:
    """Host keys, machine identities, logs, lists and the builder's own settings are named in the script."""
    text = resources.files("imagekit.build").joinpath("templates/finish.sh").read_text()
    # The operator's own /root/.ssh comes after root's is removed.
    assert text.index("root/.ssh") < text.index("tar --extract")
    for path in ("ssh_host_", "dbus/machine-id", "random-seed", "99mmdebstrap", "lib/apt/lists", "var/log", "shadow-"):
        assert path in text
