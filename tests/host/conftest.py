"""What the tests of SSH share: a server in this process to talk to, and real ones to enter."""

from tests.host.openssh_machines import host, hostile, server
from tests.host.ssh_door import serve

__all__ = ["host", "hostile", "serve", "server"]
