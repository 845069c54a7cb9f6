"""State that means "this machine": rows are found where they lie, and no file can make them slow."""

import re
import time
from pathlib import Path

import pytest

from imagekit.disk.directory import Directory
from imagekit.disk.tree import FileTree
from imagekit.verify.facts.agent_state import AGENT_ROWS
from imagekit.verify.facts.cluster_state import CLUSTER_ROWS
from imagekit.verify.facts.machine_state import find_places, is_claimed
from imagekit.verify.facts.state_rows import Row
from imagekit.verify.view import CannotSee, View, ViewKind
from tests.verify.clean_tree import link, write

ROWS = [row for table in (AGENT_ROWS, CLUSTER_ROWS) for rows in table.values() for row in rows]
PREDICATES = sorted({row.holds for row in ROWS if row.holds})
BYTES = 256 << 10


def find(root: Path, *rows: Row) -> dict[str, str]:
    """Return path and description of what the rows find in a tree."""
    with Directory(root) as source:
        return {place.path: place.found for place in find_places(View(ViewKind.DIRECTORY, FileTree(source)), rows)}


def test_rows_are_well_formed() -> None:
    """A pattern is absolute or in a home, and a predicate is a regex that an empty file does not match."""
    for row in ROWS:
        assert row.pattern.startswith(("/", "~/")), row
        assert "//" not in row.pattern, row
        assert not row.holds or not re.search(row.holds, ""), row


def test_wild_parts_match_within_their_directory(tmp_path: Path) -> None:
    """A star stands for names, not for directories below."""
    write(tmp_path, "/etc/a/x.key", "k")
    write(tmp_path, "/etc/a/b/y.key", "k")
    assert set(find(tmp_path, Row("/etc/*/*.key", "a key"))) == {"/etc/a/x.key"}


def test_first_row_that_fits_speaks(tmp_path: Path) -> None:
    """A path is described once, by the narrower row that stands first."""
    write(tmp_path, "/etc/a.key", "k")
    assert find(tmp_path, Row("/etc/a.key", "a key"), Row("/etc/*", "a file")) == {"/etc/a.key": "a key (1 bytes)"}


def test_links_are_followed_inside_the_tree(tmp_path: Path) -> None:
    """A link to a file counts as that file; one that leads nowhere, or out of the tree, is nothing."""
    write(tmp_path, "/data/key", "k")
    link(tmp_path, "/etc/a.key", "/data/key")
    link(tmp_path, "/etc/b.key", "/nowhere")
    link(tmp_path, "/etc/c.key", "../../../../../../etc/hostname")
    assert set(find(tmp_path, Row("/etc/*.key", "a key"))) == {"/etc/a.key"}


def test_homes_of_services_are_homes(tmp_path: Path) -> None:
    """State lies in homes of people and services, not in those that daemons share with programs."""
    write(tmp_path, "/etc/passwd", "a:x:999:999::/var/lib/a:/bin/sh\nb:x:1:1::/usr/sbin:/usr/sbin/nologin\n")
    for path in ("/var/lib/a/.x", "/usr/sbin/.x", "/home/c/.x", "/root/.x"):
        write(tmp_path, path, "x")
    assert set(find(tmp_path, Row("~/.x", "x"))) == {"/var/lib/a/.x", "/home/c/.x", "/root/.x"}


def test_flood_of_directories_is_not_observed(tmp_path: Path) -> None:
    """A pattern that fits thousands of directories is given up, and says so."""
    for number in range(2001):
        (tmp_path / "opt" / str(number)).mkdir(parents=True)
    with pytest.raises(CannotSee, match="more than 2000"):
        find(tmp_path, Row("/opt/*/.runner", "a runner"))


def test_claims_are_of_what_was_found(tmp_path: Path) -> None:
    """A broad search leaves alone what a row has found, and what lies below it; not what it merely could have."""
    write(tmp_path, "/etc/ansible/hosts", "password: x\n")
    write(tmp_path, "/etc/salt/pki/minion/minion.pem", "k")
    write(tmp_path, "/var/lib/docker/swarm/certificates/node.key", "k")
    with Directory(tmp_path) as source:
        view = View(ViewKind.DIRECTORY, FileTree(source))
        assert is_claimed(view, "/etc/salt/pki/minion/minion.pem")
        assert is_claimed(view, "/var/lib/docker/swarm/certificates/node.key")
        assert not is_claimed(view, "/etc/ansible/hosts")


@pytest.mark.parametrize("predicate", PREDICATES)
def test_predicates_take_linear_time(predicate: str) -> None:
    """The longest text that a row reads takes a moment, whatever it repeats."""
    words = re.findall(r"[A-Za-z_]{3,}", predicate)
    seeds = ["\n", " ", "a", '"', "-----BEGIN ", "-----BEGIN A ", "1", *words, *(f"{word} " for word in words), '"a" ']
    seeds += [f"{word}: \n" for word in words] + [f"{word}=\t" for word in words]
    started = time.process_time()
    for seed in seeds:
        re.search(predicate, (seed * (BYTES // len(seed) + 1))[:BYTES])
        re.search(predicate, f"{seed}{' ' * BYTES}")
    assert time.process_time() - started < 0.1 * len(seeds)
