"""A machine that runs: failed units and what only it can tell."""

from imagekit.verify.check import Check

CHECKS: tuple[Check, ...] = ()
