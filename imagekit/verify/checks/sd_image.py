"""The NixOS card: layout, firmware, loader, closure, access."""

from imagekit.verify.check import Check

CHECKS: tuple[Check, ...] = ()
