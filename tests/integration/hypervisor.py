"""libvirt without systemd, and a Vagrant box that imagekit's own local builder made, under software emulation."""

import contextlib
import json
import os
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from imagekit.errors import ToolFailed
from imagekit.host import run, start
from imagekit.host.local import end
from tests.integration.conftest import Program

BOX = "imagekit-test"
_POOL = _NETWORK = "imagekit-test"
_ADDRESSES = "192.168.233.0/24"
_FIRMWARE = "/usr/share/ovmf/OVMF.fd"
# What the tiny flake's builder runs, what provision.sh would fetch, and Debian's Nix with its daemon.
_PACKAGES = (
    "nix-bin", "nix-setup-systemd", "mtools", "zstd", "dosfstools", "rsync", "qemu-user-static", "binfmt-support"
)  # fmt: skip
_DEFINITION = """\
[images.box]
packages = {packages}
size = "4G"
boot_test = false

[[images.box.users]]
name = "vagrant"
sudo = true
ssh_keys = ["{key}"]

[images.box.verify]
allow_users = ["vagrant"]
"""
# No KVM, no graphics; "ds=nocloud" is how cloud-init is told to be there for a machine without a cloud (it makes the
# host keys, and grows the root). The serial number of SMBIOS carries it: cloudinit.readthedocs.io, NoCloud.
_VAGRANTFILE = """\
Vagrant.configure("2") do |config|
  config.ssh.insert_key = false
  config.ssh.private_key_path = "{key}"
  config.vm.provider :libvirt do |libvirt|
    libvirt.driver = "qemu"
    libvirt.cpu_mode = "custom"
    libvirt.cpu_model = "qemu64"
    libvirt.machine_type = "q35"
    libvirt.loader = "{firmware}"
    libvirt.sysinfo = {{ system: {{ serial: "ds=nocloud" }} }}
    libvirt.graphics_type = "none"
    libvirt.video_type = "none"
    libvirt.storage_pool_name = "{pool}"
    libvirt.management_network_name = "{network}"
    libvirt.management_network_address = "{addresses}"
  end
end
"""


@dataclass(frozen=True, slots=True)
class Hypervisor:
    """A libvirt of our own: ``url`` leads to it; ``directory`` is where its QEMU may read and write."""

    url: str
    directory: Path

    def ask(self, *arguments: str, check: bool = True) -> str:
        """Return what virsh says."""
        said = run(["virsh", "--quiet", "--connect", self.url, *arguments], check=check, timeout=120)
        return said.output.decode()


@contextlib.contextmanager
def start_hypervisor() -> Iterator[Hypervisor]:
    """Run libvirtd and virtlogd with a storage pool and a socket of our own; all that was made is gone afterwards.

    Needs root, as libvirt's networks do. A libvirtd that systemd runs here already is left alone and used.
    """
    # QEMU runs as another user, for whom pytest's directories are closed.
    directory = Path(tempfile.mkdtemp(prefix="imagekit-test-", dir="/var/tmp"))
    directory.chmod(0o711)
    try:
        with contextlib.ExitStack() as stack:
            url = "qemu:///system"
            if run(["virsh", "--connect", url, "version"], check=False, timeout=60).status != 0:
                url = _start_daemons(directory, stack)
            hypervisor = Hypervisor(url, directory)
            hypervisor.ask("pool-create-as", _POOL, "dir", "--target", os.fspath(directory))
            stack.callback(hypervisor.ask, "pool-destroy", _POOL, check=False)
            stack.callback(_remove_machines, hypervisor)
            yield hypervisor
    finally:
        shutil.rmtree(directory)


def _start_daemons(directory: Path, stack: contextlib.ExitStack) -> str:
    """Start both and return libvirt's URL; only the socket's place is not the usual one."""
    configuration = directory / "libvirtd.conf"
    configuration.write_text(f'unix_sock_dir = "{directory}"\nauth_unix_rw = "none"\nauth_unix_ro = "none"\n')
    Path("/run/libvirt").mkdir(exist_ok=True)
    for argv in (
        ["virtlogd", "--pid-file", os.fspath(directory / "virtlogd.pid")],
        ["libvirtd", "--config", os.fspath(configuration), "--pid-file", os.fspath(directory / "libvirtd.pid")],
    ):
        with (directory / f"{argv[0]}.log").open("wb") as log:
            stack.callback(end, start(argv, stderr=log))
    url = f"qemu:///system?socket={directory}/libvirt-sock"
    deadline = time.monotonic() + 60
    while run(["virsh", "--connect", url, "version"], check=False, timeout=60).status != 0:
        assert time.monotonic() < deadline, (directory / "libvirtd.log").read_text()
        time.sleep(0.2)
    return url


def _remove_machines(hypervisor: Hypervisor) -> None:
    for name in hypervisor.ask("list", "--all", "--name").split():
        if name.startswith("imagekit-") and name.endswith("-builder"):
            hypervisor.ask("destroy", name, check=False)
            hypervisor.ask("undefine", name, check=False)
    hypervisor.ask("net-destroy", _NETWORK, check=False)


def make_box(place: Path) -> Path:
    """Build a Debian with Nix and the account ``vagrant`` by ``imagekit build``, and return it as a Vagrant box."""
    key = place / "key"
    run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", os.fspath(key)])
    (place / "project").mkdir()
    definition = _DEFINITION.format(packages=json.dumps(_PACKAGES), key=Path(f"{key}.pub").read_text().strip())
    (place / "project/imagekit.toml").write_text(definition)
    cache = Path(os.environ.get("IMAGEKIT_TEST_CACHE", place / "cache"))
    program = Program(place, place / "project", cache)
    program("build", "box")
    disk = program.json("show", "box")["path"]
    parts = place / "parts"
    parts.mkdir()
    run(["qemu-img", "convert", "-O", "qcow2", disk, os.fspath(parts / "box.img")], timeout=300)
    (parts / "metadata.json").write_text('{"provider": "libvirt", "format": "qcow2", "virtual_size": 4}\n')
    (parts / "Vagrantfile").write_text(
        _VAGRANTFILE.format(key=key, firmware=_FIRMWARE, pool=_POOL, network=_NETWORK, addresses=_ADDRESSES)
    )
    box = place / "test.box"
    run(["tar", "-C", os.fspath(parts), "-cf", os.fspath(box), "metadata.json", "Vagrantfile", "box.img"], timeout=300)
    shutil.rmtree(parts)
    return box


def lead_to_vm(hypervisor: Hypervisor, box: Path, home: Path) -> Mapping[str, str]:
    """Return what an operator's shell says so that imagekit's VM is made of ``box``, which is added for ``home``."""
    places = {"VAGRANT_HOME": os.fspath(home), "VAGRANT_CHECKPOINT_DISABLE": "1"}
    try:
        run(["vagrant", "box", "add", "--name", BOX, os.fspath(box)], environment=places, timeout=600)
    except ToolFailed as problem:
        raise AssertionError(problem.detail) from problem
    return {
        **places,
        "LIBVIRT_DEFAULT_URI": hypervisor.url,
        "IMAGEKIT_VAGRANT_PROVIDER": "libvirt",
        "IMAGEKIT_VAGRANT_BOX": BOX,
        "IMAGEKIT_VAGRANT_MEMORY": "2G",
        "IMAGEKIT_VAGRANT_DISK": "20G",
    }
