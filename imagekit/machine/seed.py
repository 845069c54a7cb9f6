"""The NoCloud seed: a small ISO 9660 disk labelled CIDATA with what cloud-init should make of the machine.

Format: cloud-init's documentation, "NoCloud" (volume id ``cidata`` in either case, files ``user-data``, ``meta-data``,
``network-config``).
"""

import io
import json
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from imagekit.errors import DefinitionInvalid

LABEL = "CIDATA"
_VOLUME = re.compile(r"[A-Z0-9_]{1,16}")  # 32 characters in ISO 9660, 16 in Joliet
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")  # 64 characters in Joliet
# What follows these openings is user-data that cloud-init knows (its documentation, "User data formats").
_MIME_TYPES = {
    "#cloud-config": "text/cloud-config",
    "#!": "text/x-shellscript",
    "#cloud-boothook": "text/cloud-boothook",
    "#include": "text/x-include-url",
    "## template: jinja": "text/jinja2",
}


@dataclass(frozen=True, slots=True)
class Seed:
    """The documents of one seed; ``network_config`` ``None`` lets cloud-init use DHCP on the first card."""

    user_data: bytes
    meta_data: bytes
    network_config: bytes | None = None


def make_seed(*, instance_id: str, hostname: str, ssh_keys: Sequence[str], user_data: bytes | None = None) -> Seed:
    """Return a seed that names the machine and lets the image's default user in with ``ssh_keys``, nobody else.

    ``user_data`` is the operator's own document; it is merged with ours: its values win, and its lists get our keys.
    Raises :class:`DefinitionInvalid` when cloud-init would not know what it is.
    """
    meta = {"instance-id": instance_id, "local-hostname": hostname}
    own = {"ssh_authorized_keys": list(ssh_keys)} if ssh_keys else {}
    document = format_cloud_config(own) if user_data is None else _combine(own, user_data)
    return Seed(document, format_json(meta))


def write_seed(path: Path, seed: Seed) -> None:
    """Write the ISO to ``path``, readable by its owner alone; a crash leaves no half-written ``path``."""
    write_seed_iso(path, _list_documents(seed))


def write_seed_iso(path: Path, files: Mapping[str, bytes], *, label: str = LABEL) -> None:
    """Write an ISO of ``files``, which all lie in its top directory, to ``path``, readable by its owner alone.

    A crash leaves no half-written ``path``. The names are exact for readers of Rock Ridge and of Joliet. Raises
    :class:`ValueError` for a name that is no plain file name, or a label that ISO 9660 cannot hold.
    """
    import pycdlib

    if not _VOLUME.fullmatch(label):
        raise ValueError(f"not a label: {label!r}")
    if bad := [name for name in files if not _NAME.fullmatch(name)]:
        raise ValueError(f"not a file name: {bad[0]!r}")
    iso = pycdlib.PyCdlib()
    iso.new(interchange_level=3, joliet=3, rock_ridge="1.09", vol_ident=label)
    for number, (name, content) in enumerate(files.items()):
        iso.add_fp(
            io.BytesIO(content),
            len(content),
            f"/DOC{number}.;1",
            rr_name=name,
            joliet_path=f"/{name}",
            file_mode=0o100444,
        )
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with os.fdopen(os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            iso.write_fp(file)
            file.flush()
            os.fsync(file.fileno())
        aside.replace(path)
    finally:
        iso.close()
        aside.unlink(missing_ok=True)


def _list_documents(seed: Seed) -> dict[str, bytes]:
    documents = {"user-data": seed.user_data, "meta-data": seed.meta_data}
    return documents if seed.network_config is None else documents | {"network-config": seed.network_config}


def format_json(value: Mapping[str, object]) -> bytes:
    """Return ``value`` as JSON, which is YAML too, so no value can break out of its place."""
    return json.dumps(value, indent=2).encode() + b"\n"


def format_cloud_config(value: Mapping[str, object]) -> bytes:
    """Return ``value`` as a cloud-config document."""
    return b"#cloud-config\n" + format_json(value)


def _combine(own: Mapping[str, object], user_data: bytes) -> bytes:
    """Return a MIME archive of the operator's document and ours (cloud-init, "MIME multi-part archive")."""
    from email.mime.multipart import MIMEMultipart
    from email.mime.text import MIMEText

    try:
        text = user_data.decode()
    except UnicodeDecodeError as problem:
        raise DefinitionInvalid("the user-data is not text in UTF-8") from problem
    kind = next((mime for opening, mime in _MIME_TYPES.items() if text.startswith(opening)), None)
    if kind is None:
        raise DefinitionInvalid(
            "the user-data begins with nothing that cloud-init knows",
            hint="begin it with #cloud-config, or with #! for a script",
        )
    merge = [{"name": "list", "settings": ["append"]}, {"name": "dict", "settings": ["no_replace", "recurse_list"]}]
    archive = MIMEMultipart(boundary="==imagekit==")
    for part, mime in ((text, kind), (format_cloud_config({**own, "merge_how": merge}).decode(), "text/cloud-config")):
        archive.attach(MIMEText(part, mime.removeprefix("text/"), "utf-8"))
    return archive.as_bytes()
