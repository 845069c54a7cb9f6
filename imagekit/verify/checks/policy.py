"""The policy itself: allowances that are over, idle or unexplained, and what the operator forbids."""

from collections.abc import Iterator
from fnmatch import fnmatchcase

from imagekit.disk.tree import FileType
from imagekit.report import Severity
from imagekit.verify.check import ALL_PROFILES, Check, Policy, Seen, Subject
from imagekit.verify.facts.small_files import PLACES, search_small_files
from imagekit.verify.judge import is_expired
from imagekit.verify.view import CannotSee, View

_MOST_DIRECTORIES = 10_000
_LARGEST_FILE = 256 << 10


def find_expired_allowances(_view: View, policy: Policy) -> Iterator[Seen]:
    """Look for allowances whose last day is over; what they let pass counts again."""
    for each in policy.allow:
        if is_expired(each, policy):
            yield Seen(_name(each.check, each.path), f"it ended with {each.until}")


def find_unused_allowances(_view: View, policy: Policy) -> Iterator[Seen]:
    """Look for allowances whose check was made and found nothing there."""
    for each in policy.unused:
        if not is_expired(each, policy):
            yield Seen(_name(each.check, each.path), "it lets nothing pass")


def find_unexplained_allowances(_view: View, policy: Policy) -> Iterator[Seen]:
    """Look for allowances without a reason, and mention those without an end."""
    for each in policy.allow:
        if not each.reason:
            yield Seen(_name(each.check, each.path), "it has no reason")
        elif each.until is None:
            yield Seen(_name(each.check, each.path), "it has no end", Severity.INFO, "add until = YYYY-MM-DD to it")


def _name(check: str, path: str) -> str:
    return f"verify.allow {check}{f' {path}' if path else ''}"


def find_forbidden_paths(view: View, policy: Policy) -> Iterator[Seen]:
    """Look for every path of ``verify.forbid_paths``; links are not followed at its last part."""
    for pattern in policy.forbid_paths:
        for path in _expand(view, pattern):
            node = view.tree.lstat(path)
            if node is not None:
                yield Seen(path, f"a {node.type.value} that verify.forbid_paths names")


def find_forbidden_text(view: View, policy: Policy) -> Iterator[Seen]:
    """Look for every text of ``verify.forbid_text`` in the small files of the places where people put things."""
    if not policy.forbid_text:
        return
    wanted = [(text, text.encode()) for text in policy.forbid_text]
    files = search_small_files(view, deep=policy.deep)
    for path, node in files.entries:
        if node.type is FileType.FILE and 0 < node.size <= _LARGEST_FILE:
            data = (view.text(path, _LARGEST_FILE) or "").encode("utf-8", "surrogateescape")
            for text, needle in wanted:
                if needle in data:
                    yield Seen(path, f"it contains {text!r}")
    files.need_all(*PLACES)


def _expand(view: View, pattern: str) -> list[str]:
    """Return the paths that match, part by part, so that only directories that match are read."""
    *directories, last = pattern.strip("/").split("/")
    places = [""]
    for part in directories:
        places = [path for place in places for path in _match(view, place, part) if _is_directory(view, path)]
        if len(places) > _MOST_DIRECTORIES:
            raise CannotSee(f"{pattern} matches more than {_MOST_DIRECTORIES} directories")
    return [path for place in places for path in _match(view, place, last)]


def _match(view: View, directory: str, part: str) -> Iterator[str]:
    if not any(character in part for character in "*?["):
        yield f"{directory}/{part}"
        return
    for name in view.tree.names(directory or "/"):
        if fnmatchcase(name, part):
            yield f"{directory}/{name}"


def _is_directory(view: View, path: str) -> bool:
    node = view.tree.stat(path)
    return node is not None and node.type is FileType.DIRECTORY


CHECKS = (
    Check(
        id="forbidden-path",
        severity=Severity.FAIL,
        subject=Subject.POLICY,
        why="the image's definition forbids it",
        fix='`rm -rf "$path"` in the build\'s last step, or take it out of verify.forbid_paths',
        find=find_forbidden_paths,
        profiles=ALL_PROFILES,
    ),
    Check(
        id="forbidden-text",
        severity=Severity.FAIL,
        subject=Subject.POLICY,
        why="the image's definition forbids it",
        fix="`find out what writes it and remove that`, or take it out of verify.forbid_text",
        find=find_forbidden_text,
        profiles=ALL_PROFILES,
    ),
    Check(
        id="allowance-expired",
        severity=Severity.WARN,
        subject=Subject.POLICY,
        why="what was let pass until that day counts again",
        fix="mend what it let pass, or give it a new day and a reason that still holds",
        find=find_expired_allowances,
        profiles=ALL_PROFILES,
    ),
    Check(
        id="allowance-unused",
        severity=Severity.WARN,
        subject=Subject.POLICY,
        why="it will let pass, unseen, what appears there one day",
        fix="remove it from verify.allow",
        find=find_unused_allowances,
        profiles=ALL_PROFILES,
    ),
    Check(
        id="allowance-unexplained",
        severity=Severity.WARN,
        subject=Subject.POLICY,
        why="nobody will know whether it may go",
        fix="write it as a table with a reason, and until when it holds",
        find=find_unexplained_allowances,
        profiles=ALL_PROFILES,
    ),
)
