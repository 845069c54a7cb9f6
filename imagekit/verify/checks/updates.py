"""How a clone is kept up to date: holds, ages, kernels, timers, clocks."""

from imagekit.verify.check import Check

CHECKS: tuple[Check, ...] = ()
