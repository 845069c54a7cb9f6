"""The values that our templates get: every one is declared with its type, none is missing, none is a secret."""

import json
import stat
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from imagekit.build.packer.answers import boot_command
from imagekit.build.packer.choose import Start
from imagekit.build.packer.own_templates import find_own_template
from imagekit.build.packer.template import Variable, read_template
from imagekit.build.packer.variables import (
    BuildMachine,
    describe_medium,
    make_proxmox_variables,
    make_qemu_variables,
    write_variables,
)
from imagekit.cluster import ClusterAccess, Placement, Tls, TlsKind
from imagekit.definition.model import (
    GIB,
    Base,
    Builder,
    ImageDefinition,
    MachineType,
    Medium,
    PackerBuild,
    Release,
)
from imagekit.host.secret import Secret
from imagekit.machine.accelerator import Accelerator
from imagekit.machine.firmware import FirmwareFiles

_CANARY = "5ecre7ca-a2y0-4a11-9d3b-0123456789ab"
_DIGEST = "ab" * 32
_MACHINE = BuildMachine(Accelerator.TCG, FirmwareFiles(Path("/fw/code.fd"), Path("/fw/vars.fd")))
_ACCESS = ClusterAccess("https://pve.example:8006", "ik@pve!build", Secret.from_text("test", _CANARY))
_PLACE = Placement("pve1", storage="tank", iso_storage="media", pool="golden", vlan=42)


def define(release: Release = Release.BOOKWORM, **packer: object) -> ImageDefinition:
    """Return a definition that Packer builds."""
    build = PackerBuild(**packer)  # type: ignore[arg-type] # PackerBuild's own fields
    base = Base(release.distribution, release)
    return ImageDefinition(name="web", builder=Builder.PACKER, base=base, packer=build, size=8 * GIB)


def make_qemu(definition: ImageDefinition, start: Start, machine: BuildMachine = _MACHINE) -> dict[str, object]:
    """Return the values of ``packer/qemu`` for a workspace that need not be there."""
    keys = boot_command(definition.base.release) if start is Start.INSTALLER else ()
    image = ("/w/start.img", "none")
    return make_qemu_variables(definition, start, Path("/w"), machine, image=image, boot_command=keys)


def make_proxmox(definition: ImageDefinition, start: Start, placement: Placement = _PLACE) -> dict[str, object]:
    """Return the values of ``packer/proxmox``."""
    installs = start is Start.INSTALLER
    return make_proxmox_variables(
        definition, start, Path("/w"), _ACCESS, placement,
        vm_id=9100, build_id="0123456789ab", seed_volume="media:iso/seed.iso" if installs else "",
        boot_command=boot_command(definition.base.release) if installs else (),
    )  # fmt: skip


def fits(value: object, variable: Variable) -> bool:
    """Say whether Packer takes a value for a variable as it stands, without changing its type."""
    if value is None:
        return not variable.required and variable.default is None
    match variable.kind:
        case "string":
            return isinstance(value, str)
        case "number":
            return isinstance(value, int) and not isinstance(value, bool)
        case "bool":
            return isinstance(value, bool)
        case _:
            return isinstance(value, list) and all(isinstance(one, str) for one in value)


def assert_complete(values: Mapping[str, object], name: str, given_elsewhere: frozenset[str] = frozenset()) -> None:
    """Compare values with what the template of that name declares."""
    declared = read_template(find_own_template(name), {}).variables
    assert [key for key in values if key not in declared] == []
    assert {key: value for key, value in values.items() if not fits(value, declared[key])} == {}
    required = {key for key, variable in declared.items() if variable.required}
    assert required - set(values) == given_elsewhere
    assert [key for key in values if declared[key].sensitive] == []


_QEMU_STARTS = [
    (Start.LOCAL_DISK, Release.BOOKWORM),
    (Start.LOCAL_DISK, Release.TRIXIE),
    *((Start.GIVEN_DISK, release) for release in Release),
    *((Start.INSTALLER, release) for release in Release),
]


@pytest.mark.parametrize(("start", "release"), _QEMU_STARTS)
@pytest.mark.parametrize("accelerator", list(Accelerator))
def test_qemu_values_are_the_template_s(start: Start, release: Release, accelerator: Accelerator) -> None:
    """Each value is declared in packer/qemu with its type, and no variable without a default is left out."""
    values = make_qemu(define(release), start, replace(_MACHINE, accelerator=accelerator))
    assert_complete(values, "qemu")


@pytest.mark.parametrize(
    ("start", "definition"),
    [
        *((Start.INSTALLER, define(release, iso=Medium("", volume="media:iso/d.iso"))) for release in Release),
        *((Start.INSTALLER, define(release, iso=Medium(_DIGEST, path=Path("/d.iso")))) for release in Release),
        (Start.INSTALLER, define(iso=Medium(_DIGEST, url="https://cd.example/d.iso"))),
        (Start.CLONE, define(clone=9001)),
        (Start.CLONE, define(Release.NOBLE, clone="golden")),
    ],
)
@pytest.mark.parametrize("placement", [_PLACE, Placement("pve1")])
def test_proxmox_values_are_the_template_s(start: Start, definition: ImageDefinition, placement: Placement) -> None:
    """Each value is declared in packer/proxmox with its type; only the token's secret has to come from elsewhere."""
    assert_complete(make_proxmox(definition, start, placement), "proxmox", frozenset({"proxmox_token"}))


def test_every_variable_of_qemu_can_be_given() -> None:
    """No variable of packer/qemu is one that imagekit forgot: those left to their defaults are named here."""
    declared = set(read_template(find_own_template("qemu"), {}).variables)
    assert declared - set(make_qemu(define(), Start.INSTALLER)) == {"disk_name", "shutdown_timeout"}


def test_no_secret_among_the_values() -> None:
    """The token's secret is in no value and in no representation of what the values are made of."""
    for start, definition in (
        (Start.INSTALLER, define(iso=Medium("", volume="media:iso/d.iso"))),
        (Start.CLONE, define(clone=9001)),
    ):
        values = make_proxmox(definition, start)
        assert _CANARY not in json.dumps(values)
        assert _CANARY not in repr((values, _ACCESS))
    assert "PRIVATE KEY" not in json.dumps(make_qemu(define(), Start.LOCAL_DISK))


def test_machine_of_a_build_here() -> None:
    """Emulation gets time, an installer memory; the disk has the size of the definition and the board its name."""
    emulated = make_qemu(define(), Start.LOCAL_DISK)
    fast = make_qemu(define(), Start.LOCAL_DISK, replace(_MACHINE, accelerator=Accelerator.KVM))
    assert (emulated["ssh_timeout"], fast["ssh_timeout"]) == ("15m", "5m")
    assert (emulated["accelerator"], fast["accelerator"]) == ("tcg", "kvm")
    assert (emulated["boot_wait"], emulated["boot_command"]) == ("-1s", [])
    assert (emulated["disk_size"], emulated["disk_image"], emulated["memory"]) == ("8192M", True, 1024)
    assert str(emulated["machine_type"]).startswith("q35,")
    old = make_qemu(replace(define(), machine=MachineType.I440FX), Start.LOCAL_DISK)
    assert str(old["machine_type"]).startswith("pc,")


def test_installer_here() -> None:
    """An installer gets hours under emulation, memory, its keys, and an empty disk."""
    values = make_qemu(define(), Start.INSTALLER)
    assert (values["ssh_timeout"], values["memory"], values["disk_image"]) == ("240m", 2048, False)
    assert values["boot_command"] == list(boot_command(Release.BOOKWORM))
    assert values["boot_wait"] == "60s"
    assert make_qemu(define(Release.ALPINE_3_22), Start.INSTALLER)["boot_wait"] == "-1s"


def test_places_lie_in_the_workspace() -> None:
    """Everything that is made for a build, and everything that the build makes, lies in its workspace."""
    values = make_qemu(define(), Start.LOCAL_DISK)
    for name in ("seed_iso", "serial_log", "output_directory", "ssh_private_key_file", "payload"):
        assert str(values[name]).startswith("/w/"), name


def test_template_on_the_cluster() -> None:
    """The template gets its own id and the build's tags, and what the definition says of its machine."""
    values = make_proxmox(define(clone=9001), Start.CLONE)
    assert (values["vm_id"], values["template_name"], values["clone_vm_id"]) == (9100, "web", 9001)
    assert values["proxmox_url"] == "https://pve.example:8006/api2/json"
    assert (values["cores"], values["memory"], values["disk_size"]) == (2, 2048, "8192M")
    assert (values["pool"], values["vlan"], values["storage"]) == ("golden", "42", "tank")
    assert "0123456789ab" in str(values["tags"])
    assert "clone_vm" not in values
    assert make_proxmox(define(clone="golden"), Start.CLONE)["clone_vm"] == "golden"
    plain = make_proxmox(define(clone=9001), Start.CLONE, Placement("pve1"))
    assert (plain["pool"], plain["vlan"]) == (None, None)


def test_iso_on_the_cluster_or_brought() -> None:
    """An ISO that the cluster has is named, one from elsewhere is uploaded to the storage for them, with its digest."""
    there = make_proxmox(define(iso=Medium("", volume="media:iso/d.iso")), Start.INSTALLER)
    assert there["iso_file"] == "media:iso/d.iso"
    assert "iso_url" not in there
    brought = make_proxmox(define(iso=Medium(_DIGEST, url="https://cd.example/d.iso")), Start.INSTALLER)
    assert (brought["iso_url"], brought["iso_checksum"]) == ("https://cd.example/d.iso", f"sha256:{_DIGEST}")
    assert brought["iso_storage"] == "media"
    assert there["seed_file"] == brought["seed_file"] == "media:iso/seed.iso"


@pytest.mark.parametrize(
    ("kind", "skips"),
    [
        (TlsKind.SYSTEM, False),
        (TlsKind.CA_FILE, False),
        (TlsKind.FINGERPRINT, False),
        (TlsKind.INSECURE, True),
    ],
)
def test_certificate_is_judged_by_the_plugin(kind: TlsKind, skips: bool) -> None:
    """The plugin judges the certificate, a pinned one too, unless the operator said that nobody shall."""
    access = replace(_ACCESS, tls=Tls(kind))
    values = make_proxmox_variables(
        define(clone=9001), Start.CLONE, Path("/w"), access, _PLACE, vm_id=9100, build_id="b" * 12, seed_volume=""
    )
    assert values["insecure_skip_tls_verify"] is skips


def test_medium_as_packer_has_it() -> None:
    """A path or a URL, with its digest by name."""
    assert describe_medium(Medium(_DIGEST, path=Path("/d.iso"))) == ("/d.iso", f"sha256:{_DIGEST}")
    assert describe_medium(Medium(_DIGEST, url="https://cd.example/d.iso"))[0] == "https://cd.example/d.iso"


def test_what_the_operator_brings(tmp_path: Path) -> None:
    """The playbook goes with the ansible.cfg beside it, where there is one, and the scripts in their order."""
    playbook = tmp_path / "play.yml"
    values = make_qemu(define(playbook=playbook, scripts=(Path("/b.sh"), Path("/a.sh"))), Start.LOCAL_DISK)
    assert (values["playbook"], values["ansible_config"]) == (str(playbook), "")
    assert values["scripts"] == ["/b.sh", "/a.sh"]
    (tmp_path / "ansible.cfg").touch()
    assert make_qemu(define(playbook=playbook), Start.LOCAL_DISK)["ansible_config"] == str(tmp_path / "ansible.cfg")
    assert make_qemu(define(), Start.LOCAL_DISK)["playbook"] == ""


def test_file_of_values(tmp_path: Path) -> None:
    """The file is its owner's alone, holds the values as they are, and is never written over another one."""
    values: dict[str, object] = {"a": ["x", '"quoted" ${not.hcl}'], "b": None, "c": True}
    write_variables(tmp_path / "variables.json", values)
    assert stat.S_IMODE((tmp_path / "variables.json").stat().st_mode) == 0o600
    assert json.loads((tmp_path / "variables.json").read_text()) == values
    with pytest.raises(FileExistsError):
        write_variables(tmp_path / "variables.json", {})
