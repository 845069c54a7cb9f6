"""Credentials of people and tools: keys, tokens and logins that a build machine leaves behind."""

from imagekit.verify.check import Check

CHECKS: tuple[Check, ...] = ()
