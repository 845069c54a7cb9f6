"""Real builds: the default template, Debian 12 and 13 with all that can be added, and what cannot be built."""

import json
import os
import signal
from pathlib import Path
from xml.etree import ElementTree as Xml

import pytest

from imagekit.disk.containers.raw import open_raw
from imagekit.disk.ext4.filesystem import open_ext4
from imagekit.disk.partitions.gpt import read_gpt
from imagekit.disk.tree import FileTree
from imagekit.host import run
from imagekit.verify.boot.checks import CHECKS as BOOT_CHECKS
from tests.integration.conftest import Built, Program

pytestmark = pytest.mark.integration

_RICH = """
[images.rich]
base = {{ release = "{release}" }}
features = ["node-exporter", "hardening", "docker", "promtail"]
packages = ["jq"]
size = "3G"
timezone = "Europe/Berlin"

[images.rich.promtail]
loki_url = "https://loki.example:3100/loki/api/v1/push"
package = "promtail.deb"

[[images.rich.users]]
name = "ops"
groups = ["docker"]
ssh_keys = ["{key}"]
sudo = true

[[images.rich.files]]
path = "/etc/motd"
content = "welcome\\n"
mode = "0640"
"""
# What Grafana's package has of the same names: Debian has none, and the tests fetch from Debian's mirrors only.
_PROMTAIL = {
    "DEBIAN/control": "Package: promtail\nVersion: 3.0.0\nArchitecture: amd64\nMaintainer: a@mail.example\n"
    "Description: stand-in\n",
    "DEBIAN/conffiles": "/etc/promtail/config.yml\n",
    "DEBIAN/postinst": "#!/bin/sh\nset -e\nuseradd --system --no-create-home --shell /bin/false promtail\n",
    "etc/promtail/config.yml": "server: {}\n",
    "etc/systemd/system/promtail.service": "[Unit]\nDescription=Promtail\n[Service]\nUser=promtail\n"
    "ExecStart=/usr/bin/promtail -config.file /etc/promtail/config.yml\n[Install]\nWantedBy=multi-user.target\n",
    "usr/bin/promtail": "#!/bin/sh\nexec sleep infinity\n",
}


def _define(program: Program, text: str) -> None:
    (program.directory / "imagekit.toml").write_text(text)


def _verify(program: Program, reference: str) -> dict[str, object]:
    """Verify a stored version and return its report: a clean disk has no finding, and nothing that was not seen."""
    report = program.json("verify", reference)
    assert (report["findings"], report["not_observed"]) == ([], [])
    return report


def _pack_promtail(place: Path) -> None:
    for path, content in _PROMTAIL.items():
        (place / "promtail" / path).parent.mkdir(parents=True, exist_ok=True)
        (place / "promtail" / path).write_text(content)
        (place / "promtail" / path).chmod(0o755 if path.endswith(("postinst", "bin/promtail")) else 0o644)
    run(["dpkg-deb", "--root-owner-group", "--build", os.fspath(place / "promtail"), os.fspath(place / "promtail.deb")])


def test_built_template_is_found_again(built: Built) -> None:
    """The reference that the build gave means a proven version, the first one, with its packages and its evidence."""
    reference = built.document["reference"]
    assert built.document["proven"] is True
    (image,) = built.program.json("images", "template")["images"]
    assert image["versions"][-1]["reference"] == reference
    assert image["channels"]["candidate"]
    shown = built.program.json("show", reference)
    assert {"cloud-init", "openssh-server", "qemu-guest-agent", "grub-efi-amd64-signed"} <= {
        package["name"] for package in shown["provenance"]["packages"]
    }
    clones = shown["report"]["boot"]
    assert len({clone["machine_id"] for clone in clones.values()}) == len(clones) == 2
    assert set(BOOT_CHECKS) <= set(shown["report"]["passed"])
    assert "clone-a: firmware" in built.messages
    assert list((built.program.home / "state" / "imagekit" / "boot-logs").glob("*")) == []
    disk = Path(shown["path"])
    assert (disk.stat().st_size, disk.stat().st_mode & 0o777) == (2 << 30, 0o444)
    assert f"sha256:{run(['sha256sum', os.fspath(disk)]).output.decode().split()[0]}" == shown["digest"]
    stages = built.messages.split()
    assert "verifying" in stages
    assert "booting" in stages


def test_built_template_holds_nothing_of_its_builder(template_disk: Path) -> None:
    """What every clone must have is there; package lists, devices, foreign sources, leftovers are not."""
    with open_raw(template_disk) as disk:
        partition = read_gpt(disk).partitions[-1]
        source = open_ext4(disk.window(partition.offset, partition.length))
        tree = FileTree(source)
        paths = {path for path, _node in tree.walk()}
        ping = tree.stat("/usr/bin/ping")
        assert ping is not None
        assert source.xattr(ping, "security.capability")
        sources = (tree.read("/etc/apt/sources.list") or b"").decode().split()
        assert {"bookworm", "bookworm-updates", "bookworm-security"} <= set(sources)
        assert tree.names("/etc/apt/sources.list.d") == ()
        assert tree.read("/etc/machine-id") == b""
        assert tree.readlink("/etc/localtime") == "/usr/share/zoneinfo/Etc/UTC"
    leftovers = ("/dev/", "/tmp/", "/run/systemd/", "/var/lib/apt/lists/", "/etc/apt/trusted.gpg.d/mmdebstrap")
    found = [path for path in paths if path.startswith(leftovers) or "ssh_host_" in path or path.endswith("-old")]
    assert [path for path in found if not path.endswith(("/lock", "/partial", "/auxfiles"))] == []


def test_built_template_is_verified_again(built: Built) -> None:
    """``verify`` of the stored version ends with 0 in every format."""
    report = _verify(built.program, built.document["reference"])
    assert report["target"] == built.document["reference"]
    said = built.program("verify", "template")
    assert b": 0 fail, 0 warn" in said.output
    suites = Xml.fromstring(built.program("verify", "template", "--format", "junit").output)
    assert len(list(suites.iter("testcase"))) > 40
    assert list(suites.iter("failure")) == []


def test_second_build_and_channels(built: Built) -> None:
    """The same definition again gives the same version where the tools can, and says so where they cannot.

    Then ``promote`` and ``rollback`` move the stable channel between what is there.
    """
    program, first = built.program, built.document["reference"]
    reproducible = program.json("show", first)["provenance"]["reproducible"]
    said = program("build", "template", *(() if reproducible else ("--no-boot-test",)))
    second = said.output.decode().strip()
    assert "unpacking the cached base root" in said.errors
    assert "booting" not in said.errors
    if reproducible:
        assert second == first
        assert "nothing was added" in said.errors
    else:
        assert second != first
        assert "note: this build cannot be repeated bit for bit: mke2fs" in said.errors
    assert program("promote", first, "stable").output.decode().strip() == first
    if second != first:
        assert program("promote", second, "stable").output.decode().strip() == second
        assert program("rollback", "template").output.decode().strip() == first
    (image,) = program.json("images", "template")["images"]
    assert f"template@{image['channels']['stable']}" == first


@pytest.mark.parametrize("release", ["12", "13"])
def test_everything_a_definition_can_add(release: str, fresh: Program, tmp_path: Path) -> None:
    """All features, packages, a user, a file: what a build with them gives has no finding at all.

    On Debian 12 it starts from the base root of the default template; Debian 13 is the same definition with one value
    changed.
    """
    run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "ops", "-f", os.fspath(tmp_path / "key")])
    key = (tmp_path / "key.pub").read_text().strip()
    _pack_promtail(fresh.directory)
    _define(fresh, _RICH.format(key=key, release=release))
    said = fresh("build", "rich", "--no-boot-test")
    assert "unpacking the cached base root" in said.errors or release == "13"
    assert "installing what the definition adds" in said.errors
    reference = said.output.decode().strip()
    report = _verify(fresh, reference)
    assert {"machine-id", "ssh-host-keys"} <= set(json.loads(json.dumps(report["passed"])))
    shown = fresh.json("show", reference)
    packages = {package["name"]: package["version"] for package in shown["provenance"]["packages"]}
    assert {"prometheus-node-exporter", "docker.io", "jq", "unattended-upgrades", "promtail"} <= packages.keys()
    assert packages["base-files"].startswith(release)
    disk = Path(shown["path"])
    assert disk.stat().st_size == 3 << 30
    root = f"{disk}?offset={_find_root(disk)}"
    assert run(["debugfs", "-R", "cat /etc/motd", root]).output == b"welcome\n"
    assert key.encode() in run(["debugfs", "-R", "cat /home/ops/.ssh/authorized_keys", root]).output
    assert b"Mode:  0640" in run(["debugfs", "-R", "stat /etc/motd", root]).output


def _find_root(disk: Path) -> int:
    table = json.loads(run(["sfdisk", "--json", os.fspath(disk)]).output)["partitiontable"]["partitions"]
    return int(max(table, key=lambda partition: int(partition["size"]))["start"]) * 512


def test_unknown_package_is_named(fresh: Program) -> None:
    """A package that the release does not have is a mistake in the definition, found before anything is built."""
    _define(fresh, '[images.template]\npackages = ["no-such-package-at-all"]\n')
    said = fresh("build", "template", "--no-boot-test", check=False)
    assert (said.status, said.output) == (3, b"")
    assert "no-such-package-at-all" in said.errors
    assert "unpacking" not in said.errors
    assert fresh.json("images")["images"] == []


def test_contents_that_do_not_fit(fresh: Program) -> None:
    """A disk too small for its packages is a mistake in the definition, and the hint says which key to change."""
    _define(fresh, '[images.template]\nsize = "1G"\nesp = "512M"\n')
    said = fresh("build", "template", "--no-boot-test", check=False)
    assert (said.status, said.output) == (3, b"")
    assert "size" in said.errors.split("hint:")[1]
    assert fresh.json("images")["images"] == []


def test_second_build_at_once_is_refused(fresh: Program) -> None:
    """While an image is built, a second build of it ends at once, naming the process that builds."""
    first = fresh.start("build", "template", "--no-boot-test")
    first.wait_for("reading package lists", 60)
    second = fresh("build", "template", "--no-boot-test", check=False)
    assert first.process.is_alive()
    os.kill(first.process.pid, signal.SIGTERM)
    assert first.wait(30) == 130
    assert (second.status, second.output) == (6, b"")
    assert f"image 'template' is being built by PID {first.process.pid} (imagekit build template)" in second.errors


def test_plan_builds_nothing(fresh: Program) -> None:
    """``--dry-run`` tells how many packages a build takes and how many are missing; with a warm cache none."""
    plan = fresh.json("build", "template", "--dry-run")
    assert plan["packages"] > 150
    assert plan["to_fetch"] == 0
    assert fresh.json("images")["images"] == []
