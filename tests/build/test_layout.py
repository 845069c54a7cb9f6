"""Where things lie on the disk."""

from dataclasses import replace

import pytest

from imagekit.build.layout import ROOT_MINIMUM, ROOT_TYPES, plan_layout
from imagekit.definition.model import MIB, ImageDefinition
from imagekit.errors import DefinitionInvalid
from imagekit.image import Architecture


def test_partitions_fill_the_disk_without_touching(definition: ImageDefinition) -> None:
    """1 MiB, the ESP, the root, 1 MiB: nothing overlaps, all of it on whole MiB."""
    layout = plan_layout(definition)
    assert layout.esp_offset == MIB
    assert layout.root_offset == layout.esp_offset + layout.esp_size
    assert layout.root_offset + layout.root_size == layout.size - MIB
    assert all(value % MIB == 0 for value in (layout.esp_offset, layout.root_offset, layout.root_size))


def test_odd_sizes_leave_the_backup_table_its_place(definition: ImageDefinition) -> None:
    """A size that is no whole number of MiB costs the root the rest, never the table."""
    layout = plan_layout(replace(definition, size=definition.size + 512))
    assert layout.root_size % MIB == 0
    assert layout.size - MIB >= layout.root_offset + layout.root_size


def test_identifiers_follow_from_the_name_alone(definition: ImageDefinition) -> None:
    """The same name gives the same identifiers, all different from one another; another name gives others."""

    def identifiers(one: ImageDefinition) -> list[str]:
        layout = plan_layout(one)
        return [
            layout.disk_uuid,
            layout.esp_partition_uuid,
            layout.root_partition_uuid,
            layout.root_uuid,
            layout.hash_seed,
            layout.esp_id,
        ]

    first = identifiers(definition)
    assert identifiers(replace(definition, size=definition.size * 2)) == first
    assert len(set(first)) == len(first)
    assert not set(first) & set(identifiers(replace(definition, name="other")))


def test_root_type_is_the_architectures(definition: ImageDefinition) -> None:
    """The discoverable partition type says for which processor the root is."""
    for architecture in Architecture:
        assert plan_layout(replace(definition, architecture=architecture)).root_type == ROOT_TYPES[architecture]


def test_disk_too_small_for_a_root(definition: ImageDefinition) -> None:
    """A disk that the ESP fills is the definition's mistake."""
    with pytest.raises(DefinitionInvalid, match="has no room for a root"):
        plan_layout(replace(definition, size=definition.esp + 2 * MIB + ROOT_MINIMUM - 1))
