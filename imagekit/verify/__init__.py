"""Decide whether a disk is fit to be cloned: offline, read-only, without root. It observes and never repairs.

``view`` is what a check may ask, ``facts`` what several checks share, ``checks`` the rules by subject, ``run`` the one
that asks them all and writes the report, ``report_text`` how the report reads.
"""

from imagekit.verify.catalogue import explain, list_checks, parse_profile
from imagekit.verify.check import Check, Policy, Profile, Seen, Subject
from imagekit.verify.report_text import render_json, render_junit, render_text
from imagekit.verify.run import verify_directory, verify_disk
from imagekit.verify.view import CannotSee, View

__all__ = [
    "CannotSee",
    "Check",
    "Policy",
    "Profile",
    "Seen",
    "Subject",
    "View",
    "explain",
    "list_checks",
    "parse_profile",
    "render_json",
    "render_junit",
    "render_text",
    "verify_directory",
    "verify_disk",
]
