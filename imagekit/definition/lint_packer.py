"""Contradictions in what an image says about Packer, its builder and its distribution."""

from collections.abc import Iterator
from typing import assert_never

from imagekit.definition.lint import Contradiction
from imagekit.definition.model import (
    Base,
    Builder,
    Distribution,
    Feature,
    ImageDefinition,
    Medium,
    PackerBuild,
    PackerSource,
)
from imagekit.image import Firmware

_BEGINNINGS = ("disk", "iso", "clone")
_NOT_WITH_TEMPLATE = ("source", *_BEGINNINGS, "playbook", "scripts")
_NOT_LOCAL = (*_BEGINNINGS, "playbook", "scripts", "template")
_DEBIAN_ONLY = (Feature.PROMTAIL, Feature.HARDENING)


def find_base_contradictions(base: Base) -> Iterator[Contradiction]:
    """Yield what an ``[images.NAME.base]`` says against itself."""
    owner = base.release.distribution
    if owner is not base.distribution:
        why = f'{base.release.number} is a release of {owner}, not of {base.distribution}; set distribution = "{owner}"'
        yield Contradiction("release", why, ("distribution", "release"))


def find_medium_contradictions(medium: Medium) -> Iterator[Contradiction]:
    """Yield what a ``disk`` or an ``iso`` says against itself."""
    places = _list_given(medium, ("path", "url", "volume"))
    if not places:
        why = "says nowhere where it is: give path or url, or for an iso on the cluster volume"
        yield Contradiction("", why, ("path", "url", "volume"))
    if len(places) > 1:
        yield Contradiction(places[-1], f"{' and '.join(places[:-1])} is given as well; keep one of them", ())
    if medium.volume is None and not medium.sha256:
        why = "sha256 is missing: without it nobody could tell another file from the one that was meant"
        yield Contradiction("", why, ("sha256", "path", "url", "volume"))


def find_packer_contradictions(packer: PackerBuild) -> Iterator[Contradiction]:
    """Yield what an ``[images.NAME.packer]`` says against itself."""
    if packer.template is not None:
        if given := _list_given(packer, _NOT_WITH_TEMPLATE):
            why = f"the directory in template decides this; remove {' and '.join(given)}, or template"
            yield Contradiction(given[0], why, ())
        return
    for key, value in (("only", packer.only), ("vars", packer.variables)):
        if value:
            yield Contradiction(key, "has no effect without template, the directory that it belongs to", ("template",))
    if len(beginnings := _list_given(packer, _BEGINNINGS)) > 1:
        why = f"{' and '.join(beginnings)} are each a place to begin; keep one of them"
        yield Contradiction(beginnings[-1], why, ())
        return
    yield from _find_source_contradictions(packer)


def _find_source_contradictions(packer: PackerBuild) -> Iterator[Contradiction]:
    """Yield what source, and the one place to begin that is there, say against each other."""
    source = packer.source
    if packer.iso is not None and packer.iso.volume is not None and source is PackerSource.QEMU:
        why = "a volume is on the cluster, where qemu on this machine cannot read it; give path or url"
        yield Contradiction("iso.volume", why, ())
    if source is None:
        return
    for key, value, owners in (
        ("disk", packer.disk, (PackerSource.QEMU,)),
        ("iso", packer.iso, (PackerSource.QEMU, PackerSource.PROXMOX_ISO)),
        ("clone", packer.clone, (PackerSource.PROXMOX_CLONE,)),
    ):
        if value is not None and source not in owners:
            meant = " or ".join(f'"{owner}"' for owner in owners)
            yield Contradiction(key, f'source "{source}" does not begin with this; {meant} does', ())
    if source is PackerSource.PROXMOX_CLONE and packer.clone is None:
        why = f'"{source}" needs clone, the VM id or the name of a template'
        yield Contradiction("source", why, ("clone", *_BEGINNINGS))
    if source is PackerSource.PROXMOX_ISO and packer.iso is None:
        why = f'"{source}" needs iso, the installation medium'
        yield Contradiction("source", why, ("iso", *_BEGINNINGS))


def find_builder_contradictions(image: ImageDefinition) -> Iterator[Contradiction]:
    """Yield what an image's builder cannot do of what the rest of its definition wants."""
    packer = image.packer
    if image.builder is Builder.LOCAL:
        if given := _list_given(packer, _NOT_LOCAL):
            why = f'the local builder boots nothing and would leave out {" and ".join(given)}; set builder = "packer"'
            yield Contradiction(f"packer.{given[0]}", why, ("builder",))
        if image.base.distribution is not Distribution.DEBIAN:
            why = f'the local builder makes Debian, not {image.base.distribution}; set builder = "packer"'
            yield Contradiction("base.distribution", why, ("builder", "base"))
    elif _begins_with_our_disk(packer) and image.base.distribution is not Distribution.DEBIAN:
        why = (
            f"needs disk or iso: it would begin with the local builder's disk, which is never {image.base.distribution}"
        )
        yield Contradiction("packer.source", why, ("builder", "base", "packer"))
    if packer.clone == image.vm_id:
        why = f"{image.vm_id} is this image's own vm_id: each build would begin where the last one ended"
        yield Contradiction("packer.clone", why, ("vm_id",))
    if image.base.distribution is Distribution.ALPINE:
        for feature in image.features:
            if feature in _DEBIAN_ONLY:
                yield Contradiction("features", f"{feature} is not made for Alpine; remove it", ("base",))


def find_firmware_contradictions(image: ImageDefinition) -> Iterator[Contradiction]:
    """Yield what firmware and ESP say against the disks that are made on this machine, which are for UEFI."""
    local = image.builder is Builder.LOCAL
    match image.firmware:
        case Firmware.SEABIOS if local:
            why = 'the local builder lays out UEFI disks only; use "ovmf", which Proxmox has as well'
            yield Contradiction("firmware", why, ("firmware", "builder"))
        case Firmware.SEABIOS if _boots_here(image.packer):
            why = 'what Packer builds on this machine is for UEFI; use "ovmf", which Proxmox has as well'
            yield Contradiction("firmware", why, ("firmware", "builder"))
        case Firmware.OVMF if image.esp == 0 and (local or _begins_with_our_disk(image.packer)):
            why = "0 leaves no EFI system partition, and firmware ovmf boots from one"
            yield Contradiction("esp", why, ("esp", "firmware", "builder"))
        case Firmware.SEABIOS | Firmware.OVMF | Firmware.U_BOOT:
            pass
        case _:
            assert_never(image.firmware)


def _boots_here(packer: PackerBuild) -> bool:
    """Say whether the definition alone tells that Packer builds on this machine."""
    return packer.source is PackerSource.QEMU or (packer.source is None and packer.disk is not None)


def _begins_with_our_disk(packer: PackerBuild) -> bool:
    """Say whether the definition alone tells that Packer starts from a disk of the local builder."""
    return packer.source is PackerSource.QEMU and not _list_given(packer, _BEGINNINGS)


def _list_given(noun: PackerBuild | Medium, keys: tuple[str, ...]) -> list[str]:
    return [key for key in keys if getattr(noun, key) not in (None, ())]
