"""The API token: its id and its secret, from whichever of the field's variables or files have them."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from imagekit.definition.cluster_table import ClusterTable, read_token_id, read_token_name, read_user
from imagekit.errors import SettingsInvalid
from imagekit.host.secret import Secret, is_reference, require_private
from imagekit.settings.environment import find_secret, gather, open_secret_file, read_as, read_variable

API_TOKEN = "PROXMOX_VE_API_TOKEN"  # bpg's provider for Terraform: USER@REALM!NAME=SECRET in one
SECRET_VARIABLES = ("PROXMOX_TOKEN_SECRET", "PROXMOX_TOKEN")


@dataclass(frozen=True, slots=True)
class Token:
    """What was found of a token; ``id`` and ``secret`` are ``None`` where nothing has them."""

    id: str | None = None
    id_origin: str = "missing"
    secret: Secret | None = None

    @property
    def secret_origin(self) -> str:
        """Where the secret is from."""
        return "missing" if self.secret is None else self.secret.origin


def find_token(files: Sequence[ClusterTable], own_file: Path, problems: list[str]) -> Token:
    """Return the token that the environment names, or else that ``files`` name, the strongest first.

    Id and secret of the environment are one token's: an id there is never joined with half of another variable's pair,
    while a secret alone there goes with the id of a file. ``own_file`` is the settings file, which must be private when
    the secret itself stands in it. Mistakes join ``problems``.
    """
    known = next(((table.token_id, table.origins["token_id"]) for table in files if table.token_id), None)
    token = (
        _read_pair(known, problems)
        or _read_packer_pair(problems)
        or _read_api_token(known, problems)
        or _join(known, _find_first(SECRET_VARIABLES, problems))
    )
    if token.secret is None and not token.id_origin.startswith(API_TOKEN):
        token = Token(token.id, token.id_origin, _find_file_secret(files, own_file, problems))
    return token


def _read_pair(known: tuple[str, str] | None, problems: list[str]) -> Token | None:
    """Return the token of ``PROXMOX_TOKEN_ID``, a whole id, or its name alone, whose user another place has."""
    name = "PROXMOX_TOKEN_ID"
    text = os.environ.get(name)
    if not text:
        return None
    token_id, origin = None, name
    if "!" in text or "=" in text:
        token_id = read_variable(name, read_token_id, problems)
    elif bare := read_variable(name, read_token_name, problems):
        user, where = _find_user(known, problems)
        token_id, origin = (f"{user}!{bare}", f"{name} with {where}") if user else (None, name)
        if not where:
            problems.append(f"{name}: has a token's name without its user; set PROXMOX_USERNAME, such as root@pam")
    return Token(_text(token_id), origin, _find_first(SECRET_VARIABLES, problems))


def _find_user(known: tuple[str, str] | None, problems: list[str]) -> tuple[str, str]:
    """Return a user and where it is from; the place alone when what is there is wrong, nothing when there is none."""
    for name in ("PROXMOX_USERNAME", "PROXMOX_USER"):
        if text := os.environ.get(name):
            read = read_token_id if "!" in text else read_user
            return (_text(read_variable(name, read, problems)) or "").partition("!")[0], name
    return (known[0].partition("!")[0], known[1]) if known else ("", "")


def _read_packer_pair(problems: list[str]) -> Token | None:
    """Return the token of ``PROXMOX_USERNAME``, which for Packer carries the whole id; a user alone is none."""
    name = "PROXMOX_USERNAME"
    if "!" not in os.environ.get(name, ""):
        return None
    token_id = read_variable(name, read_token_id, problems)
    return Token(_text(token_id), name, _find_first(SECRET_VARIABLES[::-1], problems))


def _read_api_token(known: tuple[str, str] | None, problems: list[str]) -> Token | None:
    """Return the token that is in one variable or file; its id behind a reference cannot be seen: a file names it."""
    if not (os.environ.get(API_TOKEN) or os.environ.get(f"{API_TOKEN}_FILE")):
        return None
    nothing = Token(id_origin=API_TOKEN)  # a mistake hides what is weaker: nobody logs in as somebody else by accident
    whole = find_secret(API_TOKEN, problems)
    if whole is None:
        return nothing
    if is_reference(os.environ.get(API_TOKEN, "")):
        if known is None:
            problems.append(f"{API_TOKEN}: refers to 1Password, so the token's id is not known; set PROXMOX_TOKEN_ID")
            return nothing
        return Token(*known, Secret(whole.origin, lambda: _take_secret(whole, known[0])))
    with gather(problems):
        token_id, _, secret = whole.reveal().partition("=")
        if not secret:
            raise SettingsInvalid(f"{whole.origin}: is not a token in one, such as user@realm!name=SECRET")
        made = read_as(token_id, whole.origin, read_token_id, problems)
        return Token(_text(made), whole.origin, Secret.from_text(whole.origin, secret))
    return nothing


def _take_secret(whole: Secret, token_id: str) -> str:
    """Return the secret in what 1Password had: behind the id of this very token, or by itself."""
    first, mark, rest = whole.reveal().partition("=")
    if mark and first != token_id:
        raise SettingsInvalid(f"{whole.origin} has the secret of another token than {token_id}")
    return rest if mark else first


def _find_first(names: Sequence[str], problems: list[str]) -> Secret | None:
    return next((secret for name in names if (secret := find_secret(name, problems))), None)


def _find_file_secret(files: Sequence[ClusterTable], own_file: Path, problems: list[str]) -> Secret | None:
    """Return the secret that the strongest of ``files`` has, names a file of, or refers to."""
    for table in files:
        if text := table.token_secret:
            origin = table.origins["token_secret"]
            with gather(problems, origin):
                if not is_reference(text):
                    require_private(own_file)
                return Secret.from_text(origin, text)
            return None
        if path := table.token_secret_file:
            origin = table.origins["token_secret_file"]
            with gather(problems, origin):
                return open_secret_file(origin, path)
            return None
    return None


def _join(known: tuple[str, str] | None, secret: Secret | None) -> Token:
    token_id, origin = known or (None, "missing")
    return Token(token_id, origin, secret)


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None
