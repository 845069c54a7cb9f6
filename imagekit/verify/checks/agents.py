"""State that means "this machine": agents, cluster members and enrolments that must not exist twice."""

from imagekit.verify.check import Check

CHECKS: tuple[Check, ...] = ()
