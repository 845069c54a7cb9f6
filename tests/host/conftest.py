"""What the tests of SSH share: a server to talk to."""

from tests.host.ssh_door import serve

__all__ = ["serve"]
