"""Contradictions about builders, Packer's sources, distributions and firmware."""

from collections.abc import Callable
from pathlib import Path

import pytest

from imagekit.definition import Builder, PackerSource, change_builder, read_project
from imagekit.errors import DefinitionInvalid

_SHA = f'sha256 = "{"ab" * 32}"'
_DISK = f'disk = {{ path = "d.qcow2", {_SHA} }}'
_ISO = f'iso = {{ url = "https://mirror.example/d.iso", {_SHA} }}'
_VOLUME = 'iso = { volume = "local:iso/debian.iso" }'

Check = Callable[..., list[str]]


@pytest.fixture
def check(tmp_path: Path) -> Check:
    """Return a function that gives the problems of an image, with lines of its own and of its [packer]."""
    for name in ("site.yml", "a.sh"):
        (tmp_path / name).touch()
    (tmp_path / "mine").mkdir()

    def read(image: str, packer: str | None = None) -> list[str]:
        table = "" if packer is None else f"[images.template.packer]\n{packer}\n"
        (tmp_path / "imagekit.toml").write_text(f"[images.template]\n{image}\n{table}")
        try:
            read_project(tmp_path)
        except DefinitionInvalid as error:
            return list(error.problems)
        return []

    return read


@pytest.mark.parametrize(
    ("packer", "said"),
    [
        ('playbook = "site.yml"', "packer.playbook: the local builder boots nothing and would leave out playbook; set"),
        (
            'scripts = ["a.sh"]\nplaybook = "site.yml"',
            'would leave out playbook and scripts; set builder = "packer"',
        ),
        (_DISK, "packer.disk: the local builder boots nothing"),
        (_ISO, "packer.iso: the local builder boots nothing"),
        ("clone = 8000", "packer.clone: the local builder boots nothing"),
        ('template = "mine"', "packer.template: the local builder boots nothing"),
    ],
)
def test_local_builder_boots_nothing(check: Check, packer: str, said: str) -> None:
    """What only Packer could do is not left out in silence by the local builder."""
    (problem,) = check("", packer)
    assert said in problem
    assert check('builder = "packer"', packer) == []
    assert len(check('builder = "paker"', packer)) == 1


@pytest.mark.parametrize(
    ("packer", "said"),
    [
        (f"{_DISK}\n{_ISO}", "5: images.template.packer.iso: disk and iso are each a place to begin"),
        (f"{_DISK}\nclone = 8000", "5: images.template.packer.clone: disk and clone are each a place to begin"),
        (f"{_DISK}\n{_ISO}\nclone = 8000", "disk and iso and clone are each a place to begin"),
        (f'source = "qemu"\n{_VOLUME}', "5: images.template.packer.iso.volume: a volume is on the cluster"),
        ('source = "proxmox-clone"', '4: images.template.packer.source: "proxmox-clone" needs clone'),
        ('source = "proxmox-iso"', '4: images.template.packer.source: "proxmox-iso" needs iso'),
        ('source = "qemu"\nclone = 8000', 'packer.clone: source "qemu" does not begin with this; "proxmox-clone" does'),
        (f'source = "proxmox-clone"\nclone = 8000\n{_ISO}', "iso and clone are each a place to begin"),
        (f'source = "proxmox-iso"\n{_DISK}', 'packer.disk: source "proxmox-iso" does not begin with this; "qemu" does'),
        (f'source = "proxmox-clone"\n{_ISO}', 'this; "qemu" or "proxmox-iso" does'),
        ('only = "qemu.template"', "packer.only: has no effect without template"),
        ("vars = { a = 1 }", "packer.vars: has no effect without template"),
        (f'template = "mine"\n{_DISK}', "packer.disk: the directory in template decides this; remove disk, or"),
        (f'template = "mine"\n{_ISO}', "packer.iso: the directory in template decides this"),
        ('template = "mine"\nclone = 8000', "packer.clone: the directory in template decides this"),
        ('template = "mine"\nplaybook = "site.yml"\nscripts = ["a.sh"]', "remove playbook and scripts, or template"),
        ('template = "mine"\nsource = "qemu"', "packer.source: the directory in template decides this"),
        ("clone = 9000", "packer.clone: 9000 is this image's own vm_id"),
        ("disk = {}", "packer.disk: says nowhere where it is"),
        ('disk = { path = "d.qcow2" }', "packer.disk: sha256 is missing"),
        (f'disk = {{ path = "d", url = "https://m.example/d", {_SHA} }}', "packer.disk.url: path is given as well"),
        (f'iso = {{ url = "https://m.example/d", volume = "a1:iso/d.iso", {_SHA} }}', "iso.volume: url is given as"),
    ],
)  # fmt: skip
def test_contradiction_in_packer(check: Check, packer: str, said: str) -> None:
    """Each contradiction is told at the key that should change."""
    problems = check('builder = "packer"', packer)
    assert said in problems[0]
    assert len(problems) == (2 if packer == "disk = {}" else 1)  # that one lacks a digest, too


@pytest.mark.parametrize(
    "packer",
    [
        None,
        "",
        'source = "qemu"',
        f'source = "qemu"\n{_DISK}\nplaybook = "site.yml"',
        f'source = "qemu"\n{_ISO}',
        f'source = "proxmox-iso"\n{_ISO}\nscripts = ["a.sh"]',
        f'source = "proxmox-iso"\n{_VOLUME}',
        'source = "proxmox-clone"\nclone = "debian-12"',
        "clone = 8000",
        _VOLUME,
        'template = "mine"\nonly = "qemu.a"\nvars = { a = 1 }',
    ],
)
def test_what_goes_together(check: Check, packer: str | None) -> None:
    """What can be meant together is not complained about."""
    assert check('builder = "packer"', packer) == []


@pytest.mark.parametrize(
    "packer",
    [
        'source = "proxmox-clone"\nclone = true',
        'source = "proxmox-iso"\niso = 1',
        'source = "proxmox-cloen"\nclone = 8000',
        'template = 1\nonly = "x"',
        'templat = "mine"\nvars = { a = 1 }',
        'disk = { path = 1, sha256 = "%s" }' % ("ab" * 32),
        'disk = { path = "d", sha256 = "ab" }',
    ],
)
def test_no_conclusion_from_wrong_value(check: Check, packer: str) -> None:
    """A value that could not be read is told once."""
    assert len(check('builder = "packer"', packer)) == 1


@pytest.mark.parametrize(
    ("image", "said"),
    [
        ('base = { release = "24.04" }', "base.release: 24.04 is a release of ubuntu, not of debian"),
        ('base = { distribution = "alpine", release = "13" }', '13 is a release of debian, not of alpine; set distrib'),
        ('base = { distribution = "ubuntu", release = "3.22" }', "3.22 is a release of alpine, not of ubuntu"),
        ('base = { distribution = "alpine" }\nfeatures = ["hardening"]', "features: hardening is not made for Alpine"),
    ],
)  # fmt: skip
def test_distribution_and_what_belongs_to_it(check: Check, image: str, said: str) -> None:
    """A release is one of its distribution, and a feature one that there is for it."""
    (problem,) = check(f'builder = "packer"\n{image}')
    assert said in problem


def test_promtail_is_not_made_for_alpine(check: Check, tmp_path: Path) -> None:
    """A feature that installs a Debian package is refused for Alpine."""
    (tmp_path / "p.deb").touch()
    promtail = 'features = ["docker", "promtail"]\npromtail = { loki_url = "http://loki.example/", package = "p.deb" }'
    (problem,) = check(f'builder = "packer"\nbase = {{ distribution = "alpine" }}\n{promtail}')
    assert "features: promtail is not made for Alpine; remove it" in problem
    assert check(f'builder = "packer"\nbase = {{ distribution = "ubuntu" }}\n{promtail}') == []


@pytest.mark.parametrize("distribution", ["ubuntu", "alpine"])
def test_local_builder_makes_debian(check: Check, distribution: str) -> None:
    """Other distributions need Packer, and there something to begin with that is not the local builder's disk."""
    base = f'base = {{ distribution = "{distribution}" }}'
    (problem,) = check(base)
    assert f"2: images.template.base.distribution: the local builder makes Debian, not {distribution}" in problem
    assert check(f'builder = "packer"\n{base}') == []
    (problem,) = check(f'builder = "packer"\n{base}', 'source = "qemu"')
    assert "packer.source: needs disk or iso" in problem
    assert check(f'builder = "packer"\n{base}', f'source = "qemu"\n{_ISO}') == []


@pytest.mark.parametrize(
    ("image", "packer", "said"),
    [
        ('firmware = "seabios"', None, "firmware: the local builder lays out UEFI disks only"),
        ('builder = "packer"\nfirmware = "seabios"', 'source = "qemu"', "firmware: what Packer builds on this machine"),
        ('builder = "packer"\nfirmware = "seabios"', _DISK, "firmware: what Packer builds on this machine is for UEFI"),
        ('builder = "packer"\nfirmware = "seabios"', f'source = "proxmox-iso"\n{_VOLUME}', ""),
        ('builder = "packer"\nfirmware = "seabios"', "clone = 8000", ""),
        ('builder = "packer"\nesp = 0', 'source = "qemu"', "esp: 0 leaves no EFI system partition"),
        ('builder = "packer"\nesp = 0', "clone = 8000", ""),
        ('builder = "packer"\nesp = 0', f'source = "qemu"\n{_DISK}', ""),
    ],
)  # fmt: skip
def test_firmware(check: Check, image: str, packer: str | None, said: str) -> None:
    """A disk that is made on this machine is for UEFI; on a cluster a template may have either firmware."""
    problems = check(image, packer)
    assert len(problems) == bool(said)
    assert not said or said in problems[0]


def test_choice_on_the_command_line(tmp_path: Path) -> None:
    """A builder or source that was chosen outside the file meets the same contradictions."""
    (tmp_path / "a.sh").touch()
    (tmp_path / "imagekit.toml").write_text(
        "[images.plain]\n[images.web]\nvm_id = 9001\n"
        "builder = 'packer'\nesp = 0\n[images.web.packer]\nscripts = ['a.sh']\n"
    )
    project = read_project(tmp_path)
    plain, web = project.find_image("plain"), project.find_image("web")
    changed = change_builder(plain, Builder.PACKER, PackerSource.QEMU)
    assert (changed.builder, changed.packer.source) == (Builder.PACKER, PackerSource.QEMU)
    assert change_builder(changed, Builder.PACKER) == changed
    with pytest.raises(DefinitionInvalid, match="image web cannot be built with builder local") as caught:
        change_builder(web, Builder.LOCAL)
    assert len(caught.value.problems) == 2
    assert caught.value.problems[0].startswith("images.web.packer.scripts: the local builder boots nothing")
    with pytest.raises(DefinitionInvalid, match="with builder packer and source qemu") as caught:
        change_builder(web, Builder.PACKER, PackerSource.QEMU)
    assert caught.value.problems[0].startswith("images.web.esp: 0 leaves no EFI system partition")
    with pytest.raises(DefinitionInvalid) as caught:
        change_builder(plain, Builder.PACKER, PackerSource.PROXMOX_CLONE)
    assert caught.value.problems == (
        'images.plain.packer.source: "proxmox-clone" needs clone, the VM id or the name of a template',
    )
