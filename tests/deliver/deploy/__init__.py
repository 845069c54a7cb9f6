"""Tests of deploying to a running machine: a real sshd, a real Nix, a real DNS server, all on loopback."""
