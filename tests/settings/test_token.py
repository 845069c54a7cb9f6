"""The API token: every pair of variables that the field has, one token's halves kept together, secrets never shown."""

import os
from pathlib import Path

import pytest

from imagekit.definition import Project, read_project
from imagekit.errors import ImagekitError, SettingsInvalid
from imagekit.settings import ClusterSettings, find_settings_file, read_cluster

CANARY = "c0ffee00-feed-4bad-8bad-canary000003"
OTHER = "c0ffee00-feed-4bad-8bad-canary000004"
TOKEN = "imagekit@pve!build"


@pytest.fixture(autouse=True)
def address(monkeypatch: pytest.MonkeyPatch) -> None:
    """Name a cluster."""
    monkeypatch.setenv("PROXMOX_URL", "https://pve.example")


def _set(monkeypatch: pytest.MonkeyPatch, **variables: str) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(f"PROXMOX_{name}", value)


def _read(project: Project | None = None) -> ClusterSettings:
    found = read_cluster(project.cluster if project else None)
    assert found is not None
    assert CANARY not in repr(found)
    return found


def _refuse(project: Project | None = None) -> list[str]:
    with pytest.raises(SettingsInvalid) as caught:
        read_cluster(project.cluster if project else None)
    assert not any(secret in repr((caught.value, caught.value.problems)) for secret in (CANARY, OTHER))
    return list(caught.value.problems)


def _project(directory: Path, text: str) -> Project:
    (directory / "imagekit.toml").write_text(f"[cluster]\n{text}\n")
    return read_project(directory)


def _write(path: Path, text: str, mode: int = 0o600) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(mode)
    return path


@pytest.mark.parametrize(
    ("variables", "id_origin", "secret_origin"),
    [
        ({"TOKEN_ID": TOKEN, "TOKEN_SECRET": CANARY}, "PROXMOX_TOKEN_ID", "PROXMOX_TOKEN_SECRET"),
        ({"USERNAME": TOKEN, "TOKEN": CANARY}, "PROXMOX_USERNAME", "PROXMOX_TOKEN"),
        ({"TOKEN_ID": TOKEN, "TOKEN": CANARY}, "PROXMOX_TOKEN_ID", "PROXMOX_TOKEN"),
        (
            {"TOKEN_ID": "build", "USERNAME": "imagekit@pve", "TOKEN_SECRET": CANARY},
            "PROXMOX_TOKEN_ID with PROXMOX_USERNAME",
            "PROXMOX_TOKEN_SECRET",
        ),
        (
            {"TOKEN_ID": "build", "USER": "imagekit@pve", "TOKEN_SECRET": CANARY},
            "PROXMOX_TOKEN_ID with PROXMOX_USER",
            "PROXMOX_TOKEN_SECRET",
        ),
        (
            {"TOKEN_ID": "build", "USERNAME": "imagekit@pve!other", "TOKEN_SECRET": CANARY},
            "PROXMOX_TOKEN_ID with PROXMOX_USERNAME",
            "PROXMOX_TOKEN_SECRET",
        ),
        ({"VE_API_TOKEN": f"{TOKEN}={CANARY}"}, "PROXMOX_VE_API_TOKEN", "PROXMOX_VE_API_TOKEN"),
        # two tokens at once: halves of different pairs are never joined
        (
            {"TOKEN_ID": TOKEN, "TOKEN_SECRET": CANARY, "VE_API_TOKEN": f"other@pve!x={OTHER}"},
            "PROXMOX_TOKEN_ID",
            "PROXMOX_TOKEN_SECRET",
        ),
        (
            {"USERNAME": TOKEN, "TOKEN": CANARY, "TOKEN_SECRET": OTHER},
            "PROXMOX_USERNAME",
            "PROXMOX_TOKEN",
        ),
        (
            {"USERNAME": "root@pam", "TOKEN_SECRET": OTHER, "VE_API_TOKEN": f"{TOKEN}={CANARY}"},
            "PROXMOX_VE_API_TOKEN",
            "PROXMOX_VE_API_TOKEN",
        ),
    ],
)
def test_pairs_of_the_field(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], id_origin: str, secret_origin: str
) -> None:
    """Packer's, bpg's, Ansible's and the plain pair each give one token, and the origins say which variables did."""
    _set(monkeypatch, **variables)
    found = _read()
    assert found.access.token_id == TOKEN
    assert found.access.secret.reveal() == CANARY
    assert (found.origins["token_id"], found.origins["token_secret"]) == (id_origin, secret_origin)


def test_id_of_one_pair_never_takes_anothers_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    """An id without its secret is a missing secret, even where another token's is at hand."""
    _set(monkeypatch, TOKEN_ID=TOKEN, VE_API_TOKEN=f"other@pve!x={OTHER}")
    (problem,) = _refuse()
    assert "the token's secret is missing" in problem


@pytest.mark.parametrize(
    "files", [{"TOKEN_ID": TOKEN, "TOKEN_SECRET_FILE": CANARY}, {"USERNAME": TOKEN, "TOKEN_FILE": CANARY},
              {"VE_API_TOKEN_FILE": f"{TOKEN}={CANARY}"}],
)  # fmt: skip
def test_secrets_in_files(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, files: dict[str, str]) -> None:
    """Each variable of a secret has one that names its file, which may not be open to everybody."""
    for name, value in files.items():
        _set(monkeypatch, **{name: str(_write(tmp_path / name, f"{value}\n")) if name.endswith("_FILE") else value})
    found = _read()
    assert (found.access.token_id, found.access.secret.reveal()) == (TOKEN, CANARY)
    (name,) = [name for name in files if name.endswith("_FILE")]
    assert found.origins["token_secret"] == f"PROXMOX_{name}"
    (tmp_path / name).chmod(0o644)
    problem = _refuse()[0]
    assert problem.startswith(f"PROXMOX_{name}: ")
    assert f"chmod 600 {tmp_path / name}" in problem


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({"TOKEN_ID": f"{TOKEN}={CANARY}"}, 'PROXMOX_TOKEN_ID: has more than an id behind the "="'),
        ({"TOKEN_ID": "a b"}, "PROXMOX_TOKEN_ID: is neither a token id"),
        ({"TOKEN_ID": "root!build"}, "PROXMOX_TOKEN_ID: is not a token id"),
        ({"TOKEN_ID": "build"}, "PROXMOX_TOKEN_ID: has a token's name without its user; set PROXMOX_USERNAME"),
        ({"TOKEN_ID": "build", "USERNAME": "root"}, "PROXMOX_USERNAME: is not a user, such as root@pam"),
        ({"USERNAME": "root!x", "TOKEN": CANARY}, "PROXMOX_USERNAME: is not a token id"),
        ({"TOKEN_ID": TOKEN, "TOKEN_SECRET": f"{CANARY}\n"}, "the secret of PROXMOX_TOKEN_SECRET is not one line"),
        ({"TOKEN_ID": TOKEN, "TOKEN_SECRET": "op://x"}, "PROXMOX_TOKEN_SECRET is not a whole reference"),
        ({"VE_API_TOKEN": CANARY}, "PROXMOX_VE_API_TOKEN: is not a token in one"),
        ({"VE_API_TOKEN": f"{TOKEN}="}, "PROXMOX_VE_API_TOKEN: is not a token in one"),
        ({"VE_API_TOKEN": f"root={CANARY}"}, "PROXMOX_VE_API_TOKEN: is not a whole token id"),
        ({"VE_API_TOKEN": f"{TOKEN}= {CANARY}"}, "the secret of PROXMOX_VE_API_TOKEN is not one line"),
        ({"VE_API_TOKEN": "op://a/b/c"}, "PROXMOX_VE_API_TOKEN: refers to 1Password, so the token's id is not known"),
    ],
)
def test_wrong_token(monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], said: str) -> None:
    """A malformed variable is named, its value is not shown, and nothing weaker takes its place."""
    _set(monkeypatch, **variables)
    assert any(problem.startswith(said) for problem in _refuse())


def test_token_of_files(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The project names the token, the operator's own file has its secret, and a variable is stronger than both."""
    project = _project(tmp_path, f'token_id = "{TOKEN}"\ntoken_secret = "op://lab/pve/token"')
    _write(find_settings_file(), f'[cluster]\ntoken_secret = "{CANARY}"\n')
    found = _read(project)
    assert (found.access.token_id, found.access.secret.reveal()) == (TOKEN, CANARY)
    assert (found.origins["token_id"], found.origins["token_secret"]) == ("imagekit.toml:2", "settings.toml:2")
    _set(monkeypatch, TOKEN_SECRET=OTHER)
    found = _read(project)
    assert (found.access.secret.reveal(), found.origins["token_secret"]) == (OTHER, "PROXMOX_TOKEN_SECRET")
    _set(monkeypatch, TOKEN_ID="deploy")
    found = _read(project)
    assert found.access.token_id == "imagekit@pve!deploy"
    assert found.origins["token_id"] == "PROXMOX_TOKEN_ID with imagekit.toml:2"


def test_settings_file_with_a_secret_is_private(tmp_path: Path) -> None:
    """A secret in the settings file is taken only while nobody else can read that file."""
    path = _write(find_settings_file(), f'[cluster]\ntoken_id = "{TOKEN}"\ntoken_secret = "{CANARY}"\n', 0o644)
    problem = _refuse()[0]
    assert problem.startswith("settings.toml:3: ")
    assert f"chmod 600 {path}" in problem
    path.write_text(f'[cluster]\ntoken_id = "{TOKEN}"\ntoken_secret = "op://lab/pve/token"\n')
    assert _read().origins["token_secret"] == "settings.toml:3"


def test_secret_file_of_a_project(tmp_path: Path) -> None:
    """A project may name the file of the secret, beside it or in the home directory, and it must be private."""
    project = _project(tmp_path, f'token_id = "{TOKEN}"\ntoken_secret_file = "~/pve-token"')
    path = Path.home() / "pve-token"
    assert _refuse(project)[0].startswith(f"imagekit.toml:3: {path} cannot be read: No such file")
    _write(path, CANARY)
    assert _read(project).access.secret.reveal() == CANARY


def _install_op(directory: Path, monkeypatch: pytest.MonkeyPatch, output: str) -> Path:
    calls = directory / "calls"
    _write(directory / "bin" / "op", f'#!/bin/sh\necho "$3" >> {calls}\nprintf %s "{output}"\n', 0o755)
    monkeypatch.setenv("PATH", f"{directory / 'bin'}{os.pathsep}{os.environ['PATH']}")
    return calls


@pytest.mark.parametrize("output", [CANARY, f"{TOKEN}={CANARY}"])
def test_whole_token_behind_a_reference(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, output: str) -> None:
    """1Password may have a secret or a whole token; it is asked when the secret is needed, and once."""
    calls = _install_op(tmp_path, monkeypatch, output)
    project = _project(tmp_path, f'token_id = "{TOKEN}"')
    _set(monkeypatch, VE_API_TOKEN="op://lab/pve/token")
    found = _read(project)
    assert not calls.exists()
    assert found.access.secret.reveal() == found.access.secret.reveal() == CANARY
    assert calls.read_text() == "op://lab/pve/token\n"


def test_reference_to_another_token(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A secret that 1Password has for another token is not sent as this one's."""
    _install_op(tmp_path, monkeypatch, f"other@pve!x={CANARY}")
    project = _project(tmp_path, f'token_id = "{TOKEN}"')
    _set(monkeypatch, VE_API_TOKEN="op://lab/pve/token")
    with pytest.raises(ImagekitError, match=f"has the secret of another token than {TOKEN}") as caught:
        _read(project).access.secret.reveal()
    assert CANARY not in repr(caught.value)


def test_literal_secret_in_a_project(tmp_path: Path) -> None:
    """A secret in a file that a project shares is refused where it stands and never shown."""
    with pytest.raises(ImagekitError) as caught:
        _project(tmp_path, f'token_secret = "{CANARY}"')
    problems = " ".join(getattr(caught.value, "problems", ()))
    assert problems.startswith("imagekit.toml:2: cluster.token_secret: holds a secret")
    assert CANARY not in problems + caught.value.message
