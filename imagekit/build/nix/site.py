"""The one file that tells a flake about the operator's site: ``nix/site.json`` of the copy that is built.

Our own flake reads it; a flake of one's own may. It holds no secret: everything in it becomes part of Nix's store,
which every account of a machine can read.
"""

import json

from imagekit.definition import ImageDefinition, Site
from imagekit.errors import DefinitionInvalid

SITE_FILE = "nix/site.json"


def render_site(site: Site, timezone: str) -> str:
    """Return the text of :data:`SITE_FILE`."""
    document = {
        "hostName": site.host_name,
        "address": str(site.address.ip),
        "prefixLength": site.address.network.prefixlen,
        "gateway": str(site.gateway),
        "bootstrapDns": [str(resolver) for resolver in site.dns],
        "timeZone": timezone,
        "authorizedKeys": list(site.ssh_keys),
        "interface": site.interface or None,
        "adminUser": site.admin,
    }
    return json.dumps(document, indent=2, sort_keys=True) + "\n"


def require_key(definition: ImageDefinition) -> None:
    """Raise :class:`DefinitionInvalid` when nobody could enter the machine that this image makes.

    A flake of one's own without a site says for itself who may; NixOS refuses a machine that nobody can enter.
    """
    if definition.site is not None and not definition.site.ssh_keys:
        raise DefinitionInvalid(
            f"image {definition.name} has no SSH key, and without one nobody could enter the machine",
            hint=f'add to imagekit.toml, under [images.{definition.name}] with kind = "sd-image": '
            'site = { ssh_keys = ["…the line in ~/.ssh/id_ed25519.pub…"] }',
        )
