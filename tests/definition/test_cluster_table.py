"""[cluster] of a project: what a team can share, each wrong value at its line, and no secret in any message."""

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from imagekit.definition import ClusterTable, read_project
from imagekit.definition.cluster_table import CLUSTER
from imagekit.definition.parse import parse_project
from imagekit.definition.toml_file import TomlFile
from imagekit.errors import DefinitionInvalid
from tests.definition.samples import SECRET, Refuse


def test_every_key_is_read(tmp_path: Path) -> None:
    """A [cluster] with every key becomes the noun with these values, each with its line."""
    (tmp_path / "imagekit.toml").write_text(
        """[cluster]
url = "https://pve.example/api2/json"
token_id = "imagekit@pve!build"
token_secret = "op://lab/pve/token"
ca_file = "ca.pem"
node = "pve1"
storage = "local-zfs"
iso_storage = "nfs.1"
bridge = "vmbr0.20"
vlan = 4094
pool = "lab/images"
build_ids = "9100-9199"
"""
    )
    cluster = read_project(tmp_path).cluster
    assert cluster == ClusterTable(
        url="https://pve.example:8006",
        token_id="imagekit@pve!build",
        token_secret="op://lab/pve/token",
        ca_file=tmp_path / "ca.pem",
        node="pve1",
        storage="local-zfs",
        iso_storage="nfs.1",
        bridge="vmbr0.20",
        vlan=4094,
        pool="lab/images",
        build_ids=range(9100, 9200),
        origins=cluster.origins if cluster else {},
    )
    assert cluster.origins["url"] == "imagekit.toml:2"
    assert cluster.origins["build_ids"] == "imagekit.toml:12"
    assert "fingerprint" not in cluster.origins
    assert "op://" not in repr(cluster)


def test_project_without_cluster(tmp_path: Path) -> None:
    """Where there is no table there is no cluster, and an empty one says nothing."""
    assert read_project(tmp_path).cluster is None
    (tmp_path / "imagekit.toml").write_text("[cluster]\n")
    assert read_project(tmp_path).cluster == ClusterTable()


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("url = 1", "url: expected a string"),
        ('url = "http://pve.example"', "url: does not begin with https://"),
        (f'url = "{SECRET}"', "url: does not begin with https://"),
        (f'url = "https://pve.example/?token={SECRET}"', "url: goes on after the host"),
        ("token_secret = 12345678", "token_secret: expected a string in quotes"),
        ('token_id = "imagekit@pve"', "token_id: is not a whole token id: it needs the token's name"),
        (f'token_id = "imagekit@pve!build={SECRET}"', "token_id: has more than an id"),
        (f'token_id = "{SECRET}"', "token_id: is not a whole token id"),
        (f'token_secret = "{SECRET}"', "token_secret: holds a secret, which a project's file would give to everybody"),
        ('token_secret = "op://a/b/c"\ntoken_secret_file = "x"', "token_secret_file: token_secret is given as well"),
        ('token_secret_file = ""', "token_secret_file: '' is not a file's name"),
        ("insecure = true", "insecure: a project does not decide for everybody"),
        (f'password = "{SECRET}"', "password: imagekit logs in with an API token"),
        ('fingerprint = "AB:CD"', "fingerprint: 'ab:cd' is not a SHA-256 fingerprint"),
        (f'fingerprint = "{"ab" * 31}:ab"', "is not a SHA-256 fingerprint"),
        (f'ca_file = "x"\nfingerprint = "{"ab" * 32}"', "fingerprint: ca_file is given as well"),
        ('node = "pve_1"', "node: 'pve_1' cannot name a node of Proxmox"),
        ('storage = "1disk"', "storage: '1disk' cannot name a storage of Proxmox"),
        ('iso_storage = "a/b"', "iso_storage: 'a/b' cannot name a storage"),
        ('bridge = "vmbr0;x"', "bridge: 'vmbr0;x' cannot name a bridge"),
        ("vlan = 4095", "vlan: the integer 4095 is out of range; it must be 0 to 4094"),
        ('pool = "a/b/c/d"', "pool: 'a/b/c/d' cannot name a pool"),
        ("build_ids = 9100", "build_ids: expected a string"),
        ('build_ids = "9199-9100"', "build_ids: '9199-9100' is not a range of VM ids"),
        ('build_ids = "99-120"', "is not a range of VM ids"),
        ('build_ids = "100-1000000000"', "is not a range of VM ids"),
        ('build_ids = "8999-9001"', "build_ids: 8999-9001 contains 9000, the id of a template"),
        ("nodes = 'x'", "nodes: unknown key; did you mean 'node'?"),
    ],
)
def test_wrong_value(refuse: Refuse, line: str, said: str) -> None:
    """A wrong value is the one problem that is told, at its line."""
    (problem,) = refuse(f"[cluster]\n{line}\n")
    assert problem.startswith("imagekit.toml:")
    assert f"cluster.{said}" in problem or said in problem


def test_cluster_is_a_table(refuse: Refuse) -> None:
    """A cluster that is not a table is told by its type, together with the mistakes of images."""
    assert refuse("cluster = 1\n[images.template]\nvm_id = 1\n") == [
        "imagekit.toml:1: cluster: expected a table, found the integer 1",
        "imagekit.toml:3: images.template.vm_id: the integer 1 is out of range; Proxmox takes 100 to 999999999",
    ]
    (problem,) = refuse("[[cluster]]\n")
    assert "cluster: expected a table, found an array" in problem


@pytest.mark.parametrize("text", ["9100", "9100-9100"])
def test_one_id_is_a_range(tmp_path: Path, text: str) -> None:
    """A single VM id is a range of one."""
    (tmp_path / "imagekit.toml").write_text(f'[cluster]\nbuild_ids = "{text}"\n')
    cluster = read_project(tmp_path).cluster
    assert cluster is not None
    assert cluster.build_ids == range(9100, 9101)


def test_fingerprint_as_proxmox_shows_it(tmp_path: Path) -> None:
    """Colons and capital letters are how a node's certificate page shows a fingerprint."""
    (tmp_path / "imagekit.toml").write_text(f'[cluster]\nfingerprint = "{":".join(["AB"] * 32)}"\n')
    cluster = read_project(tmp_path).cluster
    assert cluster is not None
    assert cluster.fingerprint == "ab" * 32


_texts = st.text(max_size=12) | st.sampled_from(
    ["https://[", "https://a:b", "https://a@b", "a@b!c", "1-2", "op://", "~x/"]
)
_values = _texts | st.integers() | st.floats() | st.booleans() | st.lists(st.integers(), max_size=2)


@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow])  # that measures the machine's other load
@given(st.dictionaries(st.sampled_from(sorted(CLUSTER.keys)) | st.text(max_size=3), _values))
def test_no_value_breaks_the_parser(values: dict[str, object]) -> None:
    """Whatever values TOML can hold are read or refused, and every refusal has a place and a reason on one line."""
    problems: tuple[str, ...] = ()
    try:
        parse_project(TomlFile("imagekit.toml", {"cluster": values}, {}), Path("/nonexistent/imagekit.toml"))
    except DefinitionInvalid as error:
        problems = error.problems or ("",)
    assert all(problem.startswith("imagekit.toml:1: cluster") for problem in problems)
    assert all(problem.isprintable() for problem in problems)
