"""From ``imagekit.toml`` to a project's nouns; every mistake is taken down."""

from dataclasses import replace
from pathlib import Path

from imagekit.definition.cluster_table import CLUSTER, ClusterTable, explain_taken, parse_cluster
from imagekit.definition.image_table import find_contradictions, read_image
from imagekit.definition.lint import find_shared_ids
from imagekit.definition.lint_packer import find_packer_contradictions
from imagekit.definition.model import Builder, ImageDefinition, Kind, PackerSource
from imagekit.definition.problems import Problems, Wrong, name_type, quote
from imagekit.definition.toml_file import TomlFile
from imagekit.definition.toml_lines import format_key
from imagekit.definition.values import Scope
from imagekit.errors import DefinitionInvalid
from imagekit.image import NAME_PATTERN


def parse_project(file: TomlFile, path: Path) -> tuple[dict[str, ImageDefinition], ClusterTable | None]:
    """Return the images that ``file`` defines, by name, and its cluster; ``path`` is its own, for relative paths.

    Raises :class:`DefinitionInvalid` with every mistake.
    """
    problems = Problems(file)
    root = Scope((), path.parent, problems)
    for key in file.values:
        if key not in ("images", "cluster"):
            problems.add_unknown_key((key,), ["images", "cluster"])
    images = _parse_images(file, root)
    cluster = None
    if "cluster" in file.values:
        cluster = parse_cluster(CLUSTER, file.values["cluster"], file, path.parent, problems)
    if cluster is not None and cluster.build_ids is not None and not problems.touches(("cluster", "build_ids")):
        for image in images.values():
            if image.kind is Kind.TEMPLATE and image.vm_id in cluster.build_ids:
                problems.add(("cluster", "build_ids"), explain_taken(cluster.build_ids, image.vm_id))
                break
    problems.raise_any(path)
    return images, cluster


def _parse_images(file: TomlFile, root: Scope) -> dict[str, ImageDefinition]:
    """Return the images; what is wrong with them is taken down."""
    problems = root.problems
    found = file.values.get("images", {})
    images: dict[str, ImageDefinition] = {}
    if isinstance(found, dict):
        for name, value in found.items():
            scope = root.enter("images").enter(name)
            if not NAME_PATTERN.fullmatch(name):
                sentence = f"{quote(name)} cannot name an image; use 1 to 63 of a-z, 0-9 and '-', not at either end"
                problems.add(scope.path, sentence)
            try:
                images[name] = read_image(value, scope, name)
            except Wrong as problem:
                problems.add(scope.path, str(problem))
    else:
        problems.add(("images",), f"expected a table, found {name_type(found)}")
    for name, sentence in find_shared_ids(images):
        if not problems.touches(("images", name, "vm_id")):
            problems.add(("images", name, "vm_id"), sentence)
    return images


def change_builder(image: ImageDefinition, builder: Builder, source: PackerSource | None = None) -> ImageDefinition:
    """Return ``image`` as ``builder`` is to build it, with Packer's ``source`` where one was chosen.

    For a choice that was not made in the file: the same contradictions are looked for, and raise
    :class:`DefinitionInvalid` with all of them.
    """
    if (image.kind is Kind.SD_IMAGE) is not (builder is Builder.NIX):
        fitting = "a flake of Nix" if image.kind is Kind.SD_IMAGE else "local and packer"
        raise DefinitionInvalid(
            f"image {image.name} cannot be built with builder {builder}",
            hint=f"it is of kind {image.kind}, which is made by {fitting}",
        )
    packer = image.packer if source is None or image.packer.template else replace(image.packer, source=source)
    changed = replace(image, builder=builder, packer=packer)
    found = [(f"packer.{one.at}".rstrip("."), one.sentence) for one in find_packer_contradictions(packer)]
    found += [(one.at, one.sentence) for one in find_contradictions(changed)]
    if found:
        how = f"with builder {builder}" + (f" and source {source}" if source else "")
        problems = [f"{format_key(('images', image.name))}.{at}: {sentence}" for at, sentence in found]
        raise DefinitionInvalid(f"image {image.name} cannot be built {how}", problems=problems)
    return changed
