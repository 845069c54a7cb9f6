"""``images.json``: the containers of a NixOS image, each with name, tag, the digest that counts, and Nix's hash.

``hash`` is that of the archive which nixpkgs' ``dockerTools.pullImage`` makes, for a container that lies in the image
from the beginning; ``null`` for one that is pulled at the first start.
"""

import base64
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace

from imagekit.build.update.change import SourceChange
from imagekit.build.update.registry import DIGEST, TAG, Registry, Repository
from imagekit.build.update.tags import choose_tag
from imagekit.errors import DefinitionInvalid, ImagekitError
from imagekit.host.host import Host

PLACE = "nix/pihole/images.json"
"""Where the file is in a flake."""

ARCHITECTURE = "arm64"  # of the machines that SD images are for, by OCI's names
LARGEST = 1 << 20
_PREFETCH = "nix-prefetch-docker"
_PREFETCH_SECONDS = 1800.0
_BASE32 = "0123456789abcdfghijklmnpqrsvwxyz"
_NIX32 = re.compile(rf"[{_BASE32}]{{52}}")
_SRI = re.compile(r"sha256-[A-Za-z0-9+/]{43}=")


@dataclass(frozen=True, slots=True)
class Container:
    """One container's lock; see the module."""

    name: str
    tag: str
    digest: str
    hash: str | None

    def describe(self) -> str:
        """Return tag and digest as a table has them."""
        return f"{self.tag} {self.digest[:19]}"


def parse_containers(data: bytes, where: str) -> dict[str, Container]:
    """Read ``images.json``; raises :class:`DefinitionInvalid` naming ``where`` and what is wrong."""
    try:
        document = json.loads(data)
    except (ValueError, RecursionError):
        raise DefinitionInvalid(f"{where} is not JSON") from None
    if not isinstance(document, dict):
        raise DefinitionInvalid(f"{where} holds no table of containers")
    return {str(key): _parse_container(value, f"{key!r} of {where}") for key, value in document.items()}


def _parse_container(value: object, where: str) -> Container:
    if not isinstance(value, dict):
        raise DefinitionInvalid(f"{where} is no container")
    found = Container(*(value.get(key) for key in ("name", "tag", "digest", "hash")))  # type: ignore[arg-type] # see below
    for text, pattern, what in ((found.tag, TAG, "tag"), (found.digest, DIGEST, "digest"), (found.name, None, "name")):
        if not isinstance(text, str) or (pattern is not None and not pattern.fullmatch(text)):
            raise DefinitionInvalid(f"{where} has no usable {what}")
    if found.hash is not None and not (isinstance(found.hash, str) and _SRI.fullmatch(found.hash)):
        raise DefinitionInvalid(f"{where} has a hash that is none", hint='it is null or "sha256-…"')
    return found


def encode_containers(data: bytes, containers: Mapping[str, Container]) -> bytes:
    """Return ``images.json`` with these containers in place of its own; what else it holds stays."""
    document = json.loads(data)
    for key, each in containers.items():
        document[key] = document.get(key, {}) | {
            "name": each.name,
            "tag": each.tag,
            "digest": each.digest,
            "hash": each.hash,
        }
    return json.dumps(document, indent=2, ensure_ascii=False).encode() + b"\n"


def renew_container(container: Container, host: Host) -> Container:
    """Return the container with its newest tag and that tag's digest; the same when it has both.

    Where its archive has a hash, that is found anew on ``host`` if Nix's tool for it is there, and otherwise dropped.
    Raises :class:`imagekit.errors.HostFailed` when the registry does not answer, or no longer has it for the board.
    """
    registry = Registry(Repository.parse(container.name))
    tag = container.tag
    if re.search(r"\d", tag):  # one without a number, such as latest, moves by itself
        tag = choose_tag(tag, registry.list_tags())
    digest = registry.find_digest(tag)
    if digest == container.digest:
        return replace(container, tag=tag)
    registry.check_manifest(digest, ARCHITECTURE)
    renewed = replace(container, tag=tag, digest=digest, hash=None)
    return renewed if container.hash is None else replace(renewed, hash=_prefetch_hash(renewed, host))


def describe_change(key: str, before: Container | None, after: Container) -> SourceChange:
    """Return what a renewed container differs in; ``None`` before one that was not there."""
    if before is None:
        return SourceChange(f"container {key}", "", after.describe())
    note = ""
    if before.hash is not None and after.hash is None:
        note = (
            f"container {key} will be pulled at the first start and no longer lies in the image: "
            f"its hash can be found only by {_PREFETCH}, with Nix"
        )
    return SourceChange(f"container {key}", before.describe(), after.describe(), note)


def _prefetch_hash(container: Container, host: Host) -> str | None:
    """Return the hash of the container's archive, which nixpkgs' own script makes; ``None`` when that is impossible.

    The script evaluates its arguments as shell: all three have been held against the registries' grammar.
    """
    program = host.find_program(_PREFETCH)
    if not program:
        return None
    Repository.parse(container.name)
    argv = [program, "--json", "--quiet", "--os", "linux", "--arch", ARCHITECTURE]
    argv += ["--image-name", container.name, "--image-digest", container.digest]
    argv += ["--final-image-name", container.name, "--final-image-tag", container.tag]
    try:
        said = json.loads(host.run(argv, timeout=_PREFETCH_SECONDS).output)
        found = str(said.get("hash") or said.get("sha256"))
    except (ImagekitError, ValueError, AttributeError, RecursionError):
        return None
    return found if _SRI.fullmatch(found) else _convert_hash(found)


def _convert_hash(text: str) -> str | None:
    """Return a SHA-256 in Nix's base 32, its bytes from the last to the first, as ``sha256-`` and base 64."""
    if not _NIX32.fullmatch(text):
        return None
    number = 0
    for letter in text:
        number = number * 32 + _BASE32.index(letter)
    if number >> 256:
        return None
    return f"sha256-{base64.b64encode(number.to_bytes(32, 'little')).decode()}"
