"""Contradictions: values that are right one by one and cannot be meant together."""

from pathlib import Path

import pytest

from imagekit.definition import read_project
from imagekit.errors import DefinitionInvalid


def _list_problems(directory: Path, text: str) -> list[str]:
    (directory / "imagekit.toml").write_text(text)
    try:
        read_project(directory)
    except DefinitionInvalid as error:
        return list(error.problems)
    return []


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ("esp = 0", "3: images.template.esp: 0 leaves no EFI system partition"),
        ('firmware = "ovmf"\nesp = "0"', "4: images.template.esp: 0 leaves no EFI system partition"),
        ('firmware = "seabios"', "3: images.template.firmware: the local builder lays out UEFI disks only"),
        ('firmware = "seabios"\nesp = 0', "3: images.template.firmware: the local builder lays out UEFI disks only"),
        ('cloud_init_drive = "ide"', "3: images.template.cloud_init_drive: a guest on machine q35 never sees"),
        ('size = "1G"\nesp = "513M"', "4: images.template.esp: 513M is more than half of the disk's 1G"),
        ('features = ["promtail"]', "3: images.template.features: promtail needs a table [images.template.promtail]"),
        (
            'promtail = { loki_url = "http://loki/", package = "p.deb" }',
            '3: images.template.promtail: has no effect; add "promtail" to features or remove this table',
        ),
    ],
)
def test_contradiction(tmp_path: Path, lines: str, said: str) -> None:
    """Each contradiction is the one problem that is told, at the key that should change."""
    (tmp_path / "p.deb").touch()
    (problem,) = _list_problems(tmp_path, f"\n[images.template]\n{lines}\n")
    assert problem.startswith(f"imagekit.toml:{said}")


@pytest.mark.parametrize(
    "lines",
    [
        'cloud_init_drive = "sata"',
        'cloud_init_drive = "ide"\nmachine = "i440fx"',
        'architecture = "arm64"',
        'size = "1G"\nesp = "512M"',
        'features = ["promtail"]\npromtail = { loki_url = "http://loki/", package = "p.deb" }',
    ],
)
def test_what_goes_together(tmp_path: Path, lines: str) -> None:
    """What can be meant together is not complained about."""
    (tmp_path / "p.deb").touch()
    assert _list_problems(tmp_path, f"[images.template]\n{lines}\n") == []


@pytest.mark.parametrize(
    "lines",
    [
        'firmware = "ovfm"\nesp = 0',
        "firmwar = 'ovmf'\nesp = 0",
        'machine = "q34"\ncloud_init_drive = "ide"',
        'size = "2"\nesp = "1G"',
        'features = ["promtail"]\npromtail = 1',
        'features = ["promtial"]\npromtail = { loki_url = "http://loki/", package = "p.deb" }',
    ],
)
def test_no_conclusion_from_wrong_value(tmp_path: Path, lines: str) -> None:
    """A value that could not be read is told once; its default is not held against the others."""
    (tmp_path / "p.deb").touch()
    assert len(_list_problems(tmp_path, f"[images.template]\n{lines}\n")) == 1


def test_images_share_no_vm_id(tmp_path: Path) -> None:
    """Two images with one id on the cluster are refused, even where the second has it by default."""
    (problem,) = _list_problems(tmp_path, "[images.a]\n[images.b]\n[images.c]\nvm_id = 9001\n")
    assert problem == (
        "imagekit.toml:2: images.b.vm_id: 9000 is the vm_id of images.a as well; publishing one would replace the other"
    )
    assert _list_problems(tmp_path, '[images.a]\n[images.b]\nvm_id = "x"\n') == [
        "imagekit.toml:3: images.b.vm_id: expected an integer, found a string"
    ]
