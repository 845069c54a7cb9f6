"""What running once leaves behind: leases, spools, crash dumps."""

from imagekit.verify.check import Check

CHECKS: tuple[Check, ...] = ()
