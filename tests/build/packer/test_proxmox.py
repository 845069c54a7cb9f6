"""Our own Proxmox template with every kind of start: values that neither the lint nor Packer's syntax objects to."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from imagekit.build.packer.answers import boot_command
from imagekit.build.packer.choose import Road, Start, choose_road
from imagekit.build.packer.lint import Level, format_mistake, lint_template
from imagekit.build.packer.own_templates import find_own_template
from imagekit.build.packer.proxmox import make_need, make_trust_environment, plan_by_proxmox
from imagekit.build.packer.session import Session
from imagekit.build.packer.tool import PackerTool
from imagekit.build.packer.validate import validate_template
from imagekit.build.packer.values import UNKNOWN
from imagekit.build.packer.variables import make_proxmox_variables, write_variables
from imagekit.cluster import ClusterAccess, Placement, Tls, TlsKind
from imagekit.cluster.api import Cluster, open_cluster
from imagekit.cluster.need import SourceKind
from imagekit.definition.model import (
    GIB,
    Base,
    Builder,
    ImageDefinition,
    MachineType,
    Medium,
    PackerBuild,
    PackerSource,
    Release,
)
from imagekit.errors import DefinitionInvalid, ToolMissing
from imagekit.host.secret import Secret
from imagekit.image import Firmware

_SECRET = "5ecre7ca-a2y0-4a11-9d3b-0123456789ab"
_ACCESS = ClusterAccess("https://pve.example:8006", "ik@pve!build", Secret.from_text("test", _SECRET))
_PLACES = {
    "plain": Placement("pve1"),
    "full": Placement("pve1", storage="tank", iso_storage="media", bridge="vmbr1", vlan=42, pool="golden"),
}
_DIGEST = "ab" * 32


def define(release: Release, packer: PackerBuild) -> ImageDefinition:
    """Return a definition that Packer builds on a cluster."""
    base = Base(release.distribution, release)
    return ImageDefinition(name="web", builder=Builder.PACKER, base=base, packer=packer, size=8 * GIB)


def list_starts() -> Iterator[ImageDefinition]:
    """Yield a definition for every release and every way to begin on a cluster."""
    for release in Release:
        yield define(release, PackerBuild(iso=Medium("", volume="local:iso/medium.iso")))
        yield define(release, PackerBuild(iso=Medium(_DIGEST, url="https://cd.example/medium.iso")))
        yield define(release, PackerBuild(clone=9001))
        yield define(release, PackerBuild(clone="golden"))


def name_start(definition: ImageDefinition) -> str:
    """Return a short name for a test."""
    packer = definition.packer
    kind = f"clone-{packer.clone}" if packer.iso is None else "volume" if packer.iso.volume else "url"
    return f"{definition.base.release}-{kind}"


def make_values(definition: ImageDefinition, road: Road, placement: Placement, workspace: Path) -> dict[str, object]:
    """Return the values of a build."""
    installs = road.start is Start.INSTALLER
    return make_proxmox_variables(
        definition, road.start, workspace, _ACCESS, placement, vm_id=9100, build_id="0123456789ab",
        seed_volume=f"{placement.iso_storage}:iso/imagekit-seed.iso" if installs else "",
        boot_command=boot_command(definition.base.release) if installs else (),
    )  # fmt: skip


@pytest.mark.parametrize("place", list(_PLACES))
@pytest.mark.parametrize("definition", list(list_starts()), ids=name_start)
def test_no_rule_has_a_word_about_it(definition: ImageDefinition, place: str, tmp_path: Path) -> None:
    """Every combination passes every rule of the lint, warnings included, with the secret still unknown."""
    for name in ("key", "payload.tar"):
        (tmp_path / name).touch()
    placement = _PLACES[place]
    road = choose_road(definition, has_cluster=True)
    assert road.source is not None
    for board in MachineType:
        values = make_values(replace(definition, machine=board), road, placement, tmp_path)
        for given in (values, values | {"proxmox_token": UNKNOWN}):
            mistakes = lint_template(
                find_own_template("proxmox"), values=given, only=f"{road.source}.template", vm_ids=placement.build_ids
            )
            assert [format_mistake(one) for one in mistakes] == []


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        ({"vm_id": 9000}, "vm-id"),
        ({"insecure_skip_tls_verify": True}, ""),
        ({"tags": "Two Words"}, "tag"),
        ({"machine_type": "q53"}, "machine"),
    ],
)
def test_values_are_judged(change: dict[str, object], rule: str, tmp_path: Path) -> None:
    """The lint sees the values, not only the template: a wrong one is an error, the operator's loud choice none."""
    definition = define(Release.BOOKWORM, PackerBuild(iso=Medium("", volume="local:iso/medium.iso")))
    road = choose_road(definition, has_cluster=True)
    for name in ("key", "payload.tar"):
        (tmp_path / name).touch()
    values = make_values(definition, road, _PLACES["plain"], tmp_path) | change
    mistakes = lint_template(
        find_own_template("proxmox"), values=values, only="proxmox-iso.template", vm_ids=_PLACES["plain"].build_ids
    )
    errors = [one.rule for one in mistakes if one.level is Level.ERROR]
    assert bool(errors) is bool(rule)
    assert all(rule in one for one in errors)


@pytest.mark.parametrize("definition", list(list_starts()), ids=name_start)
def test_packer_reads_it(definition: ImageDefinition, packer: PackerTool, tmp_path: Path) -> None:
    """Packer reads template and values without the plugin, which is no Go module of this version."""
    road = choose_road(definition, has_cluster=True)
    write_variables(tmp_path / "variables.json", make_values(definition, road, _PLACES["full"], tmp_path))
    said = validate_template(
        packer, find_own_template("proxmox"), var_files=[tmp_path / "variables.json"], workspace=tmp_path,
        only=f"{road.source}.template", syntax_only=True,
    )  # fmt: skip
    assert said == ()


@pytest.mark.parametrize("place", list(_PLACES))
def test_need_of_an_installation(place: str) -> None:
    """An installation needs its medium, room for its disk, and to upload its answers and press keys."""
    placement = _PLACES[place]
    definition = define(Release.NOBLE, PackerBuild(iso=Medium("", volume="media:iso/noble.iso")))
    need = make_need(definition, choose_road(definition, has_cluster=True), placement)
    assert (need.source, need.iso_volume, need.iso_storage) == (
        SourceKind.ISO,
        "media:iso/noble.iso",
        placement.iso_storage,
    )
    assert (need.uploads, need.sends_boot, need.uefi, need.clone_source) == (True, True, True, None)
    assert (need.storage, need.disk_bytes, need.build_ids) == (placement.storage, 8 * GIB, placement.build_ids)
    assert (need.bridge, need.vlan, need.pool) == (placement.bridge, placement.vlan, placement.pool)
    brought = define(Release.NOBLE, PackerBuild(iso=Medium(_DIGEST, url="https://cd.example/medium.iso")))
    assert make_need(brought, choose_road(brought, has_cluster=True), placement).iso_volume == ""


def test_need_of_a_clone() -> None:
    """A clone needs its template, and nothing of what an installer does."""
    definition = define(Release.BOOKWORM, PackerBuild(clone="golden"))
    need = make_need(definition, choose_road(definition, has_cluster=True), _PLACES["full"])
    assert (need.source, need.clone_source, need.iso_storage, need.iso_volume) == (SourceKind.CLONE, "golden", "", "")
    assert not need.uploads
    assert not need.sends_boot


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    """Return a client that has not been asked to connect anywhere."""
    with open_cluster(_ACCESS) as opened:
        yield opened


def plan(definition: ImageDefinition, tool: PackerTool, place: Path, cluster: Cluster) -> None:
    """Plan a build that is refused before the cluster is asked anything."""
    session = Session(tool, place / "cache", place / "state")
    plan_by_proxmox(definition, choose_road(definition, has_cluster=True), session, place, cluster, _PLACES["plain"])


def test_bios_is_refused_before_the_cluster_is_asked(packer: PackerTool, cluster: Cluster, tmp_path: Path) -> None:
    """Our template starts through UEFI; another firmware is refused with the way out."""
    old = replace(define(Release.BOOKWORM, PackerBuild(clone=9001)), firmware=Firmware.SEABIOS)
    with pytest.raises(DefinitionInvalid, match="through UEFI, not seabios") as caught:
        plan(old, packer, tmp_path, cluster)
    assert "packer.template" in str(caught.value.hint)


def test_missing_plugin_is_told_before_the_cluster_is_asked(
    packer: PackerTool, cluster: Cluster, tmp_path: Path
) -> None:
    """Without the Proxmox plugin the build ends with its name, its version, and the command that brings it."""
    (tmp_path / "plugins").mkdir()
    bare = PackerTool(packer.program, packer.version, tmp_path / "plugins", {}, packer.cache)
    with pytest.raises(ToolMissing, match=r"github\.com/hashicorp/proxmox") as caught:
        plan(define(Release.BOOKWORM, PackerBuild(clone=9001)), bare, tmp_path, cluster)
    assert "plugins install github.com/hashicorp/proxmox '>= 1.2.2'" in str(caught.value.hint)


def test_certificates_file_goes_to_packer(tmp_path: Path) -> None:
    """A file of authorities reaches Packer by its environment; the system's own need none."""
    named = replace(_ACCESS, tls=Tls(TlsKind.CA_FILE, tmp_path / "ca.pem"))
    assert make_trust_environment(named, tmp_path) == {"SSL_CERT_FILE": str(tmp_path / "ca.pem")}
    for kind in (TlsKind.SYSTEM, TlsKind.INSECURE):
        assert make_trust_environment(replace(_ACCESS, tls=Tls(kind)), tmp_path) == {}


def test_road_without_a_source_is_refused(packer: PackerTool, cluster: Cluster, tmp_path: Path) -> None:
    """A template directory of the user's own is not ours to build."""
    definition = define(Release.BOOKWORM, PackerBuild(source=PackerSource.PROXMOX_CLONE, clone=9001))
    session = Session(packer, tmp_path / "cache", tmp_path / "state")
    road = Road(None, Start.OWN_TEMPLATE, "a test")
    with pytest.raises(DefinitionInvalid, match="no source on the cluster"):
        plan_by_proxmox(definition, road, session, tmp_path, cluster, _PLACES["plain"])
