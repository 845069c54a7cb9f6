"""A build on the cluster: real Packer with the real Proxmox plugin, against the stand-in for Proxmox VE's API.

The plugin that can be built from source is 1.1.1, too old for our own template, so this goes by a template directory of
the user's own, in that release's words.
"""

import os
from pathlib import Path
from typing import Any

import pytest

from imagekit.definition import read_project
from imagekit.errors import DefinitionInvalid, HostFailed
from imagekit.pipeline import BuildOptions, ImageUnfit, build_image
from imagekit.progress import Event
from imagekit.settings import Settings, read_settings
from imagekit.store import open_store
from tests.build.packer.conftest import found_packer
from tests.cluster.conftest import CANARY, TOKEN_ID, pve

__all__ = ["found_packer", "pve"]

_TEMPLATE = """
packer {
  required_version = ">= 1.14.0"
  required_plugins {
    proxmox = {
      source  = "github.com/hashicorp/proxmox"
      version = ">= 1.1.1"
    }
  }
}

source "proxmox-iso" "old" {
  node                 = "pve1"
  vm_id                = %(vm_id)s
  vm_name              = "old"
  template_description = "made by a test"
  task_timeout         = "10m"
  iso_file             = "local:iso/tiny.iso"
  unmount_iso          = true
  os                   = "l26"
  machine              = "pc"
  cpu_type             = "host"
  memory               = 2048
  %(extra)s
  scsi_controller      = "virtio-scsi-single"
  disks {
    type              = "scsi"
    storage_pool      = "local-lvm"
    storage_pool_type = "lvm-thin"
    disk_size         = "2G"
    format            = "raw"
  }
  network_adapters {
    model  = "virtio"
    bridge = "vmbr0"
  }
  cloud_init              = true
  cloud_init_storage_pool = "local-lvm"
  communicator            = "none"
  boot_wait               = "1s"
  boot_command            = ["<enter>"]
}

build {
  sources = ["source.proxmox-iso.old"]
}
"""
_DEFINITION = """
[images.template]
builder = "packer"
firmware = "seabios"
machine = "i440fx"
cloud_init_drive = "ide"

[images.template.packer]
template = "own"
"""


@pytest.fixture
def settings(
    tmp_path: Path, pve: Any, found_packer: Any, fakepve_cafile: str, monkeypatch: pytest.MonkeyPatch
) -> Settings:
    """Return settings of an operator whose shell names the stand-in, with the old plugin beside the real Packer."""
    pve.store_file("local", "tiny.iso", 1 << 20)
    plugins = found_packer.program.resolve().parents[1] / "plugins-test"
    for name, value in {
        "PROXMOX_URL": f"{pve.url}/api2/json", "PROXMOX_TOKEN_ID": TOKEN_ID, "PROXMOX_TOKEN_SECRET": CANARY,
        "IMAGEKIT_PACKER": os.fspath(found_packer.program), "IMAGEKIT_PACKER_PLUGINS": os.fspath(plugins),
        "SSL_CERT_FILE": fakepve_cafile,
    }.items():  # fmt: skip
        monkeypatch.setenv(name, value)
    for name in ("STORE", "CACHE", "STATE"):
        monkeypatch.setenv(f"IMAGEKIT_{name}", os.fspath(tmp_path / f"my-{name.lower()}"))
    return read_settings({})


def _write_project(place: Path, *, vm_id: int = 9100, extra: str = "") -> Any:
    (place / "own").mkdir(parents=True)
    (place / "own" / "old.pkr.hcl").write_text(_TEMPLATE % {"vm_id": vm_id, "extra": extra})
    (place / "imagekit.toml").write_text(_DEFINITION)
    return read_project(place)


def test_template_on_the_cluster_becomes_a_version(tmp_path: Path, pve: Any, settings: Settings) -> None:
    """Packer makes a template, its configuration is judged, and it is a version with its place; no secret is kept."""
    events: list[Event] = []
    project = _write_project(tmp_path / "project")
    stored = build_image("template", project, settings, BuildOptions(), events.append)
    version = open_store(settings.store).list_versions("template")[0]
    assert stored.version.reference == version.reference
    assert version.digest is None
    assert version.place is not None
    assert (version.place.node, version.place.vm_id) == ("pve1", 9100)
    assert version.place.mark in pve.vm(9100).config["smbios1"]
    assert version.provenance.tools["packer-plugin-proxmox"] == "1.1.1"
    assert not version.report.failed
    assert {"creating the machine", "making it a template", "verifying"} <= {event.stage for event in events}
    assert "imagekit-build" not in str(pve.vm(9100).config.get("tags"))
    kept = [path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()]
    assert not any(CANARY.encode() in data for data in kept)
    assert CANARY not in str(events)


def test_late_failure_is_told_early(tmp_path: Path, pve: Any, settings: Settings) -> None:
    """A template whose clones would never see their cloud-init drive is refused before anything is made."""
    extra = 'bios = "ovmf"\n  efi_config {\n    efi_storage_pool = "local-lvm"\n    efi_type = "4m"\n  }'
    project = _write_project(tmp_path / "project", extra=extra)
    with pytest.raises(DefinitionInvalid) as caught:
        build_image("template", project, settings, BuildOptions())
    assert any("cloud-init-ide" in problem for problem in caught.value.problems)
    assert pve.vms == []


def test_template_of_everybody_is_never_built_over(tmp_path: Path, pve: Any, settings: Settings) -> None:
    """A template directory that would build as 9000 itself is refused."""
    project = _write_project(tmp_path / "project", vm_id=9000)
    with pytest.raises(DefinitionInvalid, match="own"):
        build_image("template", project, settings, BuildOptions())
    assert pve.vms == []


def test_shell_sets_variables(tmp_path: Path, pve: Any, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """A variable of the template's that the shell sets reaches Packer; no default is judged, no value kept."""
    monkeypatch.setenv("PKR_VAR_limit", "11m11s")
    project = _write_project(tmp_path / "project")
    place = tmp_path / "project" / "own" / "old.pkr.hcl"
    place.write_text(
        place.read_text().replace('"10m"', "var.limit") + 'variable "limit" {\n  type = string\n  default = "5s"\n}\n'
    )
    build_image("template", project, settings, BuildOptions())
    assert pve.vm(9100) is not None
    kept = [path.read_bytes() for path in (tmp_path / "my-state").rglob("*") if path.is_file()]
    assert kept
    assert not any(b"11m11s" in data for data in kept)


def test_failed_task_is_the_clusters_fault(tmp_path: Path, pve: Any, settings: Settings) -> None:
    """What the cluster refuses in the middle ends with its own words, exit code 8, and leaves no machine."""
    pve.storages["local"]["files"].clear()
    pve.storages["local"]["volumes"].clear()
    pve.store_file("local", "other.iso", 1 << 20)
    project = _write_project(tmp_path / "project")
    with pytest.raises(HostFailed, match="does not exist"):
        build_image("template", project, settings, BuildOptions())
    assert pve.vms == []
    assert not (settings.store / "images" / "template").exists()


def test_unfit_template_is_no_version(tmp_path: Path, pve: Any, settings: Settings) -> None:
    """A finished template that would make bad clones is reported, and recorded nowhere."""
    project = _write_project(tmp_path / "project", extra="qemu_agent = false\n  onboot = true")
    with pytest.raises(ImageUnfit) as caught:
        build_image("template", project, settings, BuildOptions())
    assert caught.value.report.failed
    assert not (settings.store / "images" / "template").exists()
