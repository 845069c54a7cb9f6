"""Cluster members and databases whose identity must not exist twice."""

from imagekit.verify.check import Check

CHECKS: tuple[Check, ...] = ()
