"""The initial RAM disk: what a clone needs from it to find its root, and what must not be in it."""

from imagekit.verify.check import Check

CHECKS: tuple[Check, ...] = ()
