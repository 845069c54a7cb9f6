"""What looking at a machine or a cluster found: one row of ``imagekit doctor``."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Ability:
    """One thing that was looked at: ``ok`` says whether it serves, ``note`` what to know or do, in lines."""

    subject: str
    ok: bool
    found: str
    note: str = ""
    required: bool = True
