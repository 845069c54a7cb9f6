"""The checks as a catalogue: which there are, which of them a target gets, what one of them is about."""

from imagekit.errors import DefinitionInvalid
from imagekit.report import Profile
from imagekit.verify.check import Check, Policy, shows_image
from imagekit.verify.checks import CHECKS
from imagekit.verify.evidence import escape
from imagekit.verify.view import View


def list_checks(profile: str | None = None) -> tuple[Check, ...]:
    """Return every check, or those of one profile; raises :class:`DefinitionInvalid` for an unknown profile."""
    if profile is None:
        return CHECKS
    wanted = parse_profile(profile)
    return tuple(check for check in CHECKS if wanted in check.profiles)


def parse_profile(text: str) -> Profile:
    """Return the profile called ``text``; raises :class:`DefinitionInvalid` with the names that exist."""
    try:
        return Profile(text)
    except ValueError:
        names = ", ".join(profile.value for profile in Profile)
        raise DefinitionInvalid(f"there is no profile {escape(text)!r}", hint=f"one of: {names}") from None


def find_check(check_id: str) -> Check:
    """Return the check with this id; raises :class:`DefinitionInvalid` with the nearest id."""
    from difflib import get_close_matches

    for check in CHECKS:
        if check.id == check_id:
            return check
    near = get_close_matches(check_id, [check.id for check in CHECKS], 1)
    hint = f"did you mean {near[0]}?" if near else "imagekit verify --list-checks shows all ids"
    raise DefinitionInvalid(f"there is no check {escape(check_id)!r}", hint=hint)


def describe_check(check: Check) -> dict[str, object]:
    """Return a check as plain values."""
    return {
        "check": check.id,
        "severity": check.severity.value,
        "subject": check.subject.value,
        "profiles": [profile.value for profile in check.profiles],
        "looks": " ".join((check.find.__doc__ or "").split()),
        "why": check.why,
        "fix": check.fix,
    }


def explain(check_id: str) -> str:
    """Return what a check looks for, why, and how to mend it; raises :class:`DefinitionInvalid` for an unknown id."""
    check = find_check(check_id)
    profiles = ", ".join(profile.value for profile in check.profiles)
    return "\n".join(
        (
            f"{check.id} ({check.severity.value}, {check.subject.value}; profiles: {profiles})",
            f"looks: {' '.join((check.find.__doc__ or '').split())}",
            f"why:   {check.why}",
            f"fix:   {check.fix}",
        )
    )


def select_checks(profile: Profile, view: View | None) -> tuple[Check, ...]:
    """Return the checks of a profile that are about what ``view`` shows; for an image that cannot be opened, ``None``.

    A check of a VM's configuration, for example, is made when one was given, and is not counted otherwise.
    """
    checks = tuple(check for check in CHECKS if profile in check.profiles)
    if view is None:
        return tuple(check for check in checks if check.applies is shows_image)
    return tuple(check for check in checks if check.applies(view))


def require_known(policy: Policy) -> None:
    """Raise :class:`DefinitionInvalid` when the policy names a check that does not exist, or eases what must not be."""
    for allowance in policy.allow:
        _require_check(allowance.check, "allow")
    for override in policy.severity:
        check = _require_check(override.check, "severity")
        if check.never_published and override.severity is not check.severity:
            raise DefinitionInvalid(
                f"verify.severity cannot change {check.id}: such a template must never be published",
                hint="allow it, with a reason, for a build that stays here",
            )


def _require_check(check_id: str, key: str) -> Check:
    try:
        return find_check(check_id)
    except DefinitionInvalid as problem:
        raise DefinitionInvalid(f"verify.{key}: {problem.message}", hint=problem.hint) from None
