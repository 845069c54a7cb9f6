"""Ask one check about a tree."""

from pathlib import Path

from imagekit.verify import Policy, Seen
from imagekit.verify.catalogue import find_check
from imagekit.verify.directory_view import open_directory_view
from imagekit.verify.view import View


def see(tree: Path, check: str, policy: Policy | None = None) -> list[Seen]:
    """Return what the check with this id sees in the tree; whatever it raises is raised."""
    with open_directory_view(tree) as view:
        return ask(view, check, policy)


def ask(view: View, check: str, policy: Policy | None = None) -> list[Seen]:
    """Return what the check with this id sees in the view."""
    return list(find_check(check).find(view, policy or Policy()))
