"""What this operator's shell tells Nix, and which the short environment of our children leaves out."""

import os
from collections.abc import Mapping

# nix(1), environment variables; NIX_SSL_CERT_FILE is what a multi-user installation on macOS cannot do without.
_PREFIX = "NIX_"


def read_nix_environment() -> Mapping[str, str]:
    """Return the variables of this process that Nix reads on this machine."""
    return {name: value for name, value in os.environ.items() if name.startswith(_PREFIX)}
