"""The cluster in force: which source counts for each value, and everything that is wrong or missing told at once."""

import json
from pathlib import Path

import pytest

from imagekit.cluster import Placement, TlsKind
from imagekit.definition import Project, read_project
from imagekit.definition.cluster_table import OWN_CLUSTER
from imagekit.errors import DefinitionInvalid, ExitCode, SettingsInvalid
from imagekit.settings import ClusterSettings, describe_cluster, find_settings_file, read_cluster, read_settings
from imagekit.settings.environment import INSECURE_VARIABLES, URL_VARIABLES
from imagekit.settings.token import API_TOKEN, SECRET_VARIABLES

CANARY = "c0ffee00-feed-4bad-8bad-canary000002"
TOKEN = "imagekit@pve!build"
URL = "https://pve.example:8006"
PRINT = "ab" * 32


def _write_settings(text: str, mode: int = 0o600) -> Path:
    path = find_settings_file()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(mode)
    return path


def _project(directory: Path, text: str) -> Project:
    (directory / "imagekit.toml").write_text(text)
    return read_project(directory)


def _read(project: Project | None = None) -> ClusterSettings:
    found = read_cluster(project.cluster if project else None)
    assert found is not None
    return found


def _refuse(project: Project | None = None, taken: tuple[int, ...] = ()) -> tuple[str, ...]:
    with pytest.raises(SettingsInvalid) as caught:
        read_cluster(project.cluster if project else None, taken)
    assert caught.value.exit_code is ExitCode.DEFINITION
    assert CANARY not in " ".join([caught.value.message, *caught.value.problems])
    return caught.value.problems


@pytest.fixture
def token(monkeypatch: pytest.MonkeyPatch) -> None:
    """Put a token into the environment."""
    monkeypatch.setenv("PROXMOX_TOKEN_ID", TOKEN)
    monkeypatch.setenv("PROXMOX_TOKEN_SECRET", CANARY)


@pytest.mark.usefixtures("token")
def test_nothing_names_a_cluster(tmp_path: Path) -> None:
    """Without an address there is no cluster, whatever else is known of one."""
    _write_settings('[cluster]\nnode = "pve1"\n')
    project = _project(tmp_path, '[cluster]\nstorage = "tank"\n')
    assert read_cluster(project.cluster) is None
    assert describe_cluster(project.cluster) is None
    assert read_cluster(None) is None


@pytest.mark.usefixtures("token")
def test_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    """An address and a token are enough; everything else has a default, and a certificate is checked."""
    monkeypatch.setenv("PROXMOX_URL", URL)
    found = _read()
    assert found.access.url == URL
    assert found.access.token_id == TOKEN
    assert found.access.secret.reveal() == CANARY
    assert found.access.tls.kind is TlsKind.SYSTEM
    assert found.placement == Placement(node="")
    assert found.origins["url"] == "PROXMOX_URL"
    assert found.origins["node"] == found.origins["tls"] == found.origins["build_ids"] == "default"
    assert CANARY not in repr(found)


@pytest.mark.usefixtures("token")
def test_each_value_has_its_own_strongest_source(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Environment before settings file before project before default, for each key by itself, with its line."""
    _write_settings('[cluster]\nnode = "own"\nstorage = "own-disks"\nbridge = "vmbr7"\n')
    project = _project(
        tmp_path,
        '[cluster]\nurl = "https://PVE.example"\nnode = "shared"\nstorage = "tank"\nvlan = 20\npool = "lab/build"\n'
        'iso_storage = "media"\nbuild_ids = "9300-9349"\n',
    )
    monkeypatch.setenv("PROXMOX_NODE", "environment")
    found = _read(project)
    assert found.access.url == URL
    assert found.placement == Placement(
        node="environment",
        storage="own-disks",
        iso_storage="media",
        bridge="vmbr7",
        vlan=20,
        pool="lab/build",
        build_ids=range(9300, 9350),
    )
    assert {key: found.origins[key] for key in ("url", "node", "storage", "bridge", "vlan", "token_id")} == {
        "url": "imagekit.toml:2",
        "node": "PROXMOX_NODE",
        "storage": "settings.toml:3",
        "bridge": "settings.toml:4",
        "vlan": "imagekit.toml:5",
        "token_id": "PROXMOX_TOKEN_ID",
    }
    monkeypatch.delenv("PROXMOX_NODE")
    assert _read(project).placement.node == "own"


@pytest.mark.usefixtures("token")
@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("https://pve.example", URL),
        ("https://pve.example/", URL),
        ("https://pve.example:8006/api2/json", URL),
        ("https://pve.example/api2/json/", URL),
        ("https://pve.example:443", "https://pve.example:443"),
        ("https://192.0.2.10", "https://192.0.2.10:8006"),
        ("https://[2001:DB8::1]/api2/json", "https://[2001:db8::1]:8006"),
    ],
)
@pytest.mark.parametrize("name", ["PROXMOX_URL", "PROXMOX_VE_ENDPOINT"])
def test_addresses_of_the_field(monkeypatch: pytest.MonkeyPatch, name: str, text: str, url: str) -> None:
    """An address may have the API's path or not, and has port 8006 when it says none."""
    monkeypatch.setenv(name, text)
    assert _read().access.url == url


@pytest.mark.usefixtures("token")
@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("http://pve.example:8006", "does not begin with https://, and a token never travels in clear"),
        ("pve.example:8006", "does not begin with https://"),
        (f"https://root:{CANARY}@pve.example", "carries a user or password"),
        (f"https://{CANARY}@[", "is not an address"),
        ("https://pve.example:0", "is not an address"),
        ("https://pve.example:x", "is not an address"),
        ("https://", "is not an address"),
        ("https://pve.example\n.other", "is not an address"),
        ("https://pve.example/gui", "goes on after the host"),
        ("https://pve.example/?a=b", "goes on after the host"),
    ],
)
def test_wrong_address(monkeypatch: pytest.MonkeyPatch, text: str, said: str) -> None:
    """An address that is not the API's is told by its variable's name, and is no reason to take a weaker one."""
    monkeypatch.setenv("PROXMOX_URL", text)
    monkeypatch.setenv("PROXMOX_VE_ENDPOINT", URL)
    (problem,) = _refuse()
    assert problem.startswith("PROXMOX_URL: ")
    assert said in problem


@pytest.mark.usefixtures("token")
@pytest.mark.parametrize("name", ["PROXMOX_INSECURE", "PROXMOX_VE_INSECURE"])
@pytest.mark.parametrize(("text", "kind"), [("true", TlsKind.INSECURE), ("1", TlsKind.INSECURE),
                                            ("False", TlsKind.FINGERPRINT), ("", TlsKind.FINGERPRINT)])  # fmt: skip
def test_unchecked_certificate_by_variable(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str, text: str, kind: TlsKind
) -> None:
    """Only a variable that says so does away with the check, and what the project pins stands otherwise."""
    project = _project(tmp_path, f'[cluster]\nurl = "{URL}"\nfingerprint = "{PRINT}"\n')
    monkeypatch.setenv(name, text)
    found = _read(project)
    assert found.access.tls.kind is kind
    assert found.origins["tls"] == (name if kind is TlsKind.INSECURE else "imagekit.toml:3")


@pytest.mark.usefixtures("token")
def test_unchecked_certificate_by_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """An operator's own file may do without the check, and a variable takes that back."""
    _write_settings(f'[cluster]\nurl = "{URL}"\ninsecure = true\n')
    found = _read()
    assert found.access.tls.kind is TlsKind.INSECURE
    assert found.origins["tls"] == "settings.toml:3"
    monkeypatch.setenv("PROXMOX_INSECURE", "no")
    assert _read().access.tls.kind is TlsKind.SYSTEM
    monkeypatch.setenv("PROXMOX_INSECURE", "maybe")
    assert _refuse() == ("PROXMOX_INSECURE: 'maybe' is neither true nor false",)


@pytest.mark.usefixtures("token")
def test_certificate_of_ones_own_authority(tmp_path: Path) -> None:
    """A CA file is looked for beside the file that names it, and must be there."""
    project = _project(tmp_path, f'[cluster]\nurl = "{URL}"\nca_file = "pve-root-ca.pem"\n')
    (problem,) = _refuse(project)
    assert problem == f"imagekit.toml:3: cluster.ca_file: {tmp_path / 'pve-root-ca.pem'} is not a file that can be read"
    (tmp_path / "pve-root-ca.pem").write_text("certificate")
    found = _read(project)
    assert (found.access.tls.kind, found.access.tls.ca_file) == (TlsKind.CA_FILE, tmp_path / "pve-root-ca.pem")
    _write_settings(f'[cluster]\nfingerprint = "{PRINT.upper()}"\n')
    found = _read(project)
    assert (found.access.tls.kind, found.access.tls.fingerprint) == (TlsKind.FINGERPRINT, PRINT)
    assert found.access.tls.ca_file is None


@pytest.mark.usefixtures("token")
def test_builds_never_take_a_templates_id(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No range of build ids contains 9000 or an image's id, wherever the range and the ids are from."""
    monkeypatch.setenv("PROXMOX_URL", URL)
    said = "which only publishing may touch; choose another range"
    assert _refuse(taken=(150, 9150)) == (
        f"default: cluster.build_ids: 9100-9199 contains 9150, the id of a template, {said}",
    )
    _write_settings('[cluster]\nbuild_ids = "9200-9299"\n')
    assert read_cluster(None, (150, 9150)) is not None
    assert "settings.toml:2: cluster.build_ids: 9200-9299 contains 9250" in _refuse(taken=(9250,))[0]
    with pytest.raises(DefinitionInvalid) as caught:
        _project(tmp_path, '[cluster]\nbuild_ids = "8900-9000"\n')
    assert "imagekit.toml:2: cluster.build_ids: 8900-9000 contains 9000" in caught.value.problems[0]
    with pytest.raises(DefinitionInvalid) as caught:
        _project(tmp_path, '[images.web]\nvm_id = 700\n[cluster]\nbuild_ids = "600-800"\n')
    assert "imagekit.toml:4: cluster.build_ids: 600-800 contains 700" in caught.value.problems[0]


def test_everything_is_told_at_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """All sources are read to their ends, and each mistake has the name of its place."""
    project = _project(tmp_path, f'[cluster]\nurl = "{URL}"\nca_file = "none.pem"\n')
    monkeypatch.setenv("PROXMOX_NODE", "pve_1")
    monkeypatch.setenv("PROXMOX_TOKEN_ID", f"{TOKEN}={CANARY}")
    monkeypatch.setenv("PROXMOX_TOKEN_SECRET_FILE", str(tmp_path / "absent"))
    assert [problem.partition(": ")[0] for problem in _refuse(project)] == [
        "PROXMOX_NODE",
        "imagekit.toml:3",
        "PROXMOX_TOKEN_ID",
        "PROXMOX_TOKEN_SECRET_FILE",
    ]


def test_missing_token_names_the_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    """A cluster without a token is told what to set; a look at the settings shows what is missing instead."""
    monkeypatch.setenv("PROXMOX_URL", URL)
    one, two = _refuse()
    assert "token_id is missing: set PROXMOX_TOKEN_ID" in one
    assert "set PROXMOX_TOKEN_SECRET or PROXMOX_TOKEN_SECRET_FILE" in two
    values = describe_cluster(None)
    assert values is not None
    assert values["cluster.token_id"] == values["cluster.token_secret"] == {"value": None, "origin": "missing"}


@pytest.mark.usefixtures("token")
def test_description_has_every_key_and_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    """The description is JSON with each key of the settings and its origin; of the secret there is the origin."""
    monkeypatch.setenv("PROXMOX_URL", URL)
    values = describe_cluster(None)
    assert values is not None
    assert json.loads(json.dumps(values)) == values
    assert set(values) == {f"cluster.{key}" for key in _read().origins}
    assert values["cluster.token_secret"] == {"value": None, "origin": "PROXMOX_TOKEN_SECRET"}
    assert values["cluster.build_ids"] == {"value": "9100-9199", "origin": "default"}
    assert values["cluster.tls"] == {"value": "system", "origin": "default"}
    assert CANARY not in json.dumps(values)
    monkeypatch.setenv("PROXMOX_NODE", "-")
    with pytest.raises(SettingsInvalid, match="cannot be used"):
        describe_cluster(None)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("token = 'x'", "cluster.token: unknown key"),
        (f"password = '{CANARY}'", "cluster.password: imagekit logs in with an API token"),
        ("insecure = 'yes'", "cluster.insecure: expected true or false, found a string"),
        (f"insecure = true\nfingerprint = '{PRINT}'", "cluster.insecure: fingerprint is given as well"),
        (f"token_secret = '{CANARY}'\ntoken_secret_file = 'x'", "cluster.token_secret_file: token_secret is given"),
    ],
)
def test_mistakes_of_the_settings_file(line: str, said: str) -> None:
    """A wrong [cluster] of the settings file is told by whatever reads the file first, with its line."""
    _write_settings(f"[cluster]\n{line}\n")
    for read in (lambda: read_settings({}), lambda: read_cluster(None)):
        with pytest.raises(SettingsInvalid) as caught:
            read()
        (problem,) = caught.value.problems
        assert problem.startswith("settings.toml:")
        assert said in problem
        assert CANARY not in problem


_DOCUMENT = Path(__file__).parents[2] / "docs" / "settings.md"


def test_every_key_and_variable_is_documented() -> None:
    """The page about settings has the keys that there are with their true defaults, and every variable."""
    text = _DOCUMENT.read_text()
    rows = {
        cells[0].strip("| `"): cells[1]
        for line in text.partition("## `[cluster]`")[2].splitlines()
        if line.startswith("| `") and len(cells := line.split(" | ")) == 3
    }
    assert list(rows) == sorted(OWN_CLUSTER.keys, key=list(rows).index)
    defaults = Placement(node="")
    for key, cell in rows.items():
        default = getattr(defaults, key, None)
        shown = "9100-9199" if key == "build_ids" else "false" if key == "insecure" else default
        assert cell == ("none" if shown in (None, "") else f"`{shown}`"), key
    variables = [*URL_VARIABLES, *INSECURE_VARIABLES, *SECRET_VARIABLES, API_TOKEN, "PROXMOX_TOKEN_ID"]
    variables += ["PROXMOX_USERNAME", "PROXMOX_USER", "PROXMOX_NODE"]
    variables += [f"{name}_FILE" for name in (*SECRET_VARIABLES, API_TOKEN)]
    assert [name for name in variables if f"`{name}`" not in text] == []
