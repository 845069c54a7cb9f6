"""The filesystems themselves: features, names, free space, and what deleted files left in it."""

from imagekit.verify.check import Check

CHECKS: tuple[Check, ...] = ()
