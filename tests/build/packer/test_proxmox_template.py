"""Our template for the cluster, read as values: what it asks Proxmox for, and that it provisions like the one here."""

import re
from pathlib import Path

import pytest

from imagekit.build.packer.lint import format_mistake, lint_template
from imagekit.build.packer.own_templates import find_own_template
from imagekit.build.packer.template import Source, read_template

_VALUES: dict[str, object] = {
    "proxmox_url": "https://pve.example:8006/api2/json",
    "proxmox_username": "imagekit@pve!build",
    "node": "pve1",
    "vm_id": 9100,
    "template_name": "debian-12",
    "tags": "imagekit-build;ik-b-0123",
    "storage": "local-lvm",
    "ssh_username": "packer",
    "ssh_private_key_file": "/nonexistent/key",
    "payload": "/nonexistent/payload.tar",
}
_ISO = {"iso_file": "local:iso/debian.iso", "seed_file": "local:iso/seed.iso", "boot_command": ["c<wait>"]}
_CLONE = {"clone_vm_id": 9000}


def _read(kind: str, **values: object) -> Source:
    template = read_template(find_own_template("proxmox"), {**_VALUES, **values})
    (source,) = (built for built in template.builds if built.kind == kind)
    return source


@pytest.mark.parametrize(("kind", "values"), [("proxmox-iso", _ISO), ("proxmox-clone", _CLONE)])
def test_lint_finds_nothing(kind: str, values: dict[str, object]) -> None:
    """Our own rules let our own template pass, as an installation and as a clone."""
    mistakes = lint_template(
        find_own_template("proxmox"), values={**_VALUES, **values}, only=f"{kind}.template", vm_ids=range(9100, 9200)
    )
    assert [format_mistake(mistake) for mistake in mistakes] == []


def test_installation_has_every_drive_in_a_place_of_its_own() -> None:
    """Both CDs are on SATA and go away again, so the cloud-init drive's slot on SCSI never depends on them."""
    block = _read("proxmox-iso", **_ISO).block
    drives = [*block.list_blocks("boot_iso"), *block.list_blocks("additional_iso_files")]
    assert [(drive.read_text("type"), drive.read_text("index")) for drive in drives] == [("sata", "0"), ("sata", "1")]
    assert all(drive.read_flag("unmount") for drive in drives)
    assert block.read_text("cloud_init_disk_type") == "scsi"
    assert [disk.read_text("type") for disk in block.list_blocks("disks")] == ["scsi"]


def test_firmware_connects_the_seed() -> None:
    """OVMF shows GRUB only the drives that the boot order names; the disk comes first, or it would install for ever."""
    assert _read("proxmox-iso", **_ISO).block.read_text("boot") == "order=scsi0;sata0;sata1"


@pytest.mark.parametrize(("kind", "values"), [("proxmox-iso", _ISO), ("proxmox-clone", _CLONE)])
def test_weak_defaults_of_the_plugin_are_not_met(kind: str, values: dict[str, object]) -> None:
    """Processor, controller, card, kind of system and time limit are said, also where a clone would have kept them."""
    block = _read(kind, **values).block
    assert block.read_text("cpu_type") == "x86-64-v2-AES"
    assert block.read_text("scsi_controller") == "virtio-scsi-single"
    assert block.read_text("os") == "l26"
    assert block.read_text("task_timeout") == "20m"
    assert [card.read_text("model") for card in block.list_blocks("network_adapters")] == ["virtio"]
    assert block.read_number("cores") == 2
    assert block.read_number("memory") == 2048
    assert block.read_flag("insecure_skip_tls_verify") is False


def test_template_serves_no_http_and_keeps_no_secret() -> None:
    """The guest need not reach this machine, and the token's variable has no default and is masked."""
    directory = find_own_template("proxmox")
    text = "\n".join(path.read_text() for path in directory.glob("*.pkr.hcl"))
    assert not re.search(r"http_(?:directory|content|bind|port|interface)|HTTPIP", text)
    assert not re.search(r"^\s*password\s*=", text, re.MULTILINE)
    token = read_template(directory, _VALUES).variables["proxmox_token"]
    assert (token.sensitive, token.required) == (True, True)


def test_both_templates_provision_alike() -> None:
    """Whatever was started becomes the same template: the steps differ in the names of the sources alone."""

    def read_steps(name: str, sources: str) -> str:
        text = (find_own_template(name) / "build.pkr.hcl").read_text()
        return re.sub(r" +", " ", text.replace(sources, "SOURCES").replace(re.sub("source[.]", "", sources), "NAMES"))

    here = read_steps("qemu", '"source.qemu.template"')
    there = read_steps("proxmox", '"source.proxmox-iso.template", "source.proxmox-clone.template"')
    assert "SOURCES" in here
    assert here == there


def test_both_templates_take_the_same_values_for_provisioning() -> None:
    """What the steps need has one name, one type and one default in both."""

    def read_variables(directory: Path) -> dict[str, tuple[str, object, bool]]:
        variables = read_template(directory, {}).variables.values()
        kept = (
            one for one in variables if one.file.endswith("provisioning.pkr.hcl") and one.name != "shutdown_timeout"
        )
        return {one.name: (one.kind, one.default, one.required) for one in kept}

    here, there = (read_variables(find_own_template(name)) for name in ("qemu", "proxmox"))
    assert {"payload", "playbook", "scripts", "ssh_username"} <= set(here)
    assert here == there
