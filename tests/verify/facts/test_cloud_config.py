"""cloud-init's configuration, merged in its own order."""

from imagekit.verify.facts.cloud_config import find_datasources, list_modules, read_cloud_config, reads_local_drive
from tests.verify.facts.conftest import MakeView

MAIN = "/etc/cloud/cloud.cfg"
MORE = "/etc/cloud/cloud.cfg.d"


def test_later_names_win_and_mappings_merge(make_view: MakeView) -> None:
    """A later file replaces values and lists, and adds to mappings."""
    view = make_view(
        {
            MAIN: "a: 1\ngrowpart: {mode: auto, devices: ['/']}\nlist: [1, 2]\n",
            f"{MORE}/20.cfg": "growpart: {mode: 'off'}\nlist: [3]\n",
            f"{MORE}/10.cfg": "growpart: {mode: gpart}\na: 2\n",
        }
    )
    config = read_cloud_config(view)
    assert config.merged == {"a": 2, "growpart": {"mode": "off", "devices": ["/"]}, "list": [3]}
    assert config.origin("growpart", "mode") == f"{MORE}/20.cfg"
    assert config.origin("a") == f"{MORE}/10.cfg"


def test_broken_file_is_left_out_and_named(make_view: MakeView) -> None:
    """A file that is no YAML mapping changes nothing and says why."""
    view = make_view({MAIN: "a: 1\n", f"{MORE}/x.cfg": "a: [\n", f"{MORE}/y.cfg": "text\n", f"{MORE}/z.cfg": ""})
    config = read_cloud_config(view)
    assert config.merged == {"a": 1}
    assert [bool(file.problem) for file in config.files] == [False, True, True, False]


def test_built_in_list_reads_the_drive(make_view: MakeView) -> None:
    """Without a list cloud-init asks every datasource, Proxmox's drive first."""
    view = make_view({MAIN: "a: 1\n"})
    assert find_datasources(view)[1] is None
    assert reads_local_drive(view)


def test_modules_are_compared_without_regard_to_dashes(make_view: MakeView) -> None:
    """``users-groups`` and ``users_groups`` are one module; a module may come with arguments."""
    view = make_view({MAIN: "cloud_init_modules: [users-groups, [ssh, always]]\n"})
    assert list_modules(read_cloud_config(view)) == {"users_groups", "ssh"}
