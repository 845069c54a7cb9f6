"""What the store says about files that are not what it wrote, and about directories that are no store."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from imagekit.errors import StoreError
from imagekit.image import Reference
from imagekit.store import Store, open_store
from tests.store.samples import at, list_tree, make_verified


@pytest.fixture
def store(tmp_path: Path) -> Store:
    store = open_store(tmp_path / "store")
    store.add(make_verified(tmp_path / "disk.raw"), clock=at(1))
    return store


def _manifest(store: Store) -> Path:
    path = store.root / "images/template/20260701-1/manifest.json"
    path.chmod(0o644)
    return path


def test_format_file_marks_a_draft(store: Store) -> None:
    """The first format says that it is a draft."""
    told = json.loads((store.root / "format.json").read_text())
    assert told["store"] == 0
    assert "draft" in told["note"]


@pytest.mark.parametrize("number", [1, -1, "0", None, False, 0.0])
def test_unknown_format_is_refused(store: Store, tmp_path: Path, number: object) -> None:
    """A store of another format is neither read nor written."""
    (store.root / "format.json").write_text(json.dumps({"store": number}))
    with pytest.raises(StoreError, match="this imagekit reads format 0") as caught:
        open_store(store.root)
    assert caught.value.hint
    with pytest.raises(StoreError, match="this imagekit reads format 0"):
        store.add(make_verified(tmp_path / "disk.raw", 2))


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", "\x00" * 20, "[" * 4000, " " * 5000])
def test_damaged_format_file_is_refused(store: Store, text: str) -> None:
    """A format file that tells no number is damage, and is named."""
    (store.root / "format.json").write_text(text)
    with pytest.raises(StoreError, match=r"format\.json is damaged"):
        open_store(store.root)


def test_store_without_its_format_file_is_refused(store: Store) -> None:
    """Images without the file that says how to read them are not guessed at."""
    (store.root / "format.json").unlink()
    with pytest.raises(StoreError, match=r"has images but no format\.json"):
        open_store(store.root)


def test_directory_with_other_things_is_not_taken_over(tmp_path: Path) -> None:
    """A mistyped store path does not turn somebody's directory into a store."""
    home = tmp_path / "home"
    home.mkdir()
    (home / "letter.txt").write_text("dear")
    store = open_store(home)
    assert store.list_images() == ()
    with pytest.raises(StoreError, match=r"not a store and not empty: it has 'letter\.txt'"):
        store.add(make_verified(tmp_path / "disk.raw"))
    assert list_tree(home) == ["letter.txt", "lock"]


def test_file_in_place_of_the_store_is_refused(tmp_path: Path) -> None:
    """A store path that is a file, or goes through one, is an error in words."""
    (tmp_path / "file").write_text("x")
    for root in (tmp_path / "file", tmp_path / "file" / "store"):
        with pytest.raises(StoreError, match="through a file that is no directory"):
            open_store(root)


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: data[: len(data) // 2],
        lambda data: b"",
        lambda data: b"\xff" + data,
        lambda data: data.replace(b'"size_bytes": ', b'"size_bytes": -'),
        lambda data: data.replace(b'"size_bytes": ', b'"size_bytes": 1'),
        lambda data: data.replace(b'"digest": "sha256:', b'"digest": "sha256:..'),
        lambda data: data.replace(b'"architecture": "amd64",\n "firmware"', b'"architecture": "vax",\n "firmware"'),
        lambda data: data.replace(b'"name": "template"', b'"name": "other"', 1),
        lambda data: data.replace(b'"version": "20260701-1"', b'"version": "20260701-2"'),
        lambda data: data.replace(b'"created_by"', b'"made_by"'),
        lambda data: data.replace(b'"format": 0', b'"format": 0, "extra": 1'),
        lambda data: b"[" * 100_000,
    ],
)
def test_damaged_manifest_is_named(store: Store, damage: Callable[[bytes], bytes]) -> None:
    """Whatever is wrong in a manifest, the error names a file of that version and says what can be done."""
    path = _manifest(store)
    changed = damage(path.read_bytes())
    assert changed != path.read_bytes()
    path.write_bytes(changed)
    with pytest.raises(StoreError, match=r"template/20260701-1/(manifest\.json|disk\.raw) is damaged") as caught:
        store.list_versions("template")
    assert "move" in (caught.value.hint or "")


def test_manifest_of_another_format_is_refused(store: Store) -> None:
    """A manifest with an unknown number is not read, whatever else it holds."""
    path = _manifest(store)
    path.write_text('{"format": 7, "anything": []}')
    with pytest.raises(StoreError, match=r"manifest\.json has format 7; this imagekit reads format 0"):
        store.find(Reference("template"), default_channel=None)


@pytest.mark.parametrize("change", ["missing", "short"])
def test_damaged_disk_is_noticed(store: Store, change: str) -> None:
    """A version whose disk is missing or of another length is not handed out."""
    version = store.list_versions("template")[0]
    path = store.disk_path(version)
    path.chmod(0o644)
    if change == "missing":
        path.unlink()
    else:
        path.write_bytes(b"short")
    with pytest.raises(StoreError, match=r"disk\.raw is damaged"):
        store.disk_path(version)


def test_damage_of_one_version_leaves_the_others(store: Store, tmp_path: Path) -> None:
    """A version that is named exactly is found and promoted although another one is damaged."""
    _manifest(store).write_bytes(b"{")
    path = store.root / "images/template/20260701-1"
    with pytest.raises(StoreError, match="damaged"):
        store.add(make_verified(tmp_path / "disk.raw", 2), clock=at(2))
    path.rename(tmp_path / "away")
    second = store.add(make_verified(tmp_path / "disk.raw", 2), clock=at(2)).version
    (tmp_path / "away").rename(path)
    assert store.find(second.reference, default_channel=None) == second
    assert store.promote(second.reference, "stable") == second


def test_torn_history_line_is_passed_over_and_mended(store: Store, tmp_path: Path) -> None:
    """A last line without its end does not count and is gone after the next move."""
    path = store.root / "images/template/history.jsonl"
    whole = path.read_bytes()
    path.write_bytes(whole + b'{"when":"2026-07-01T12:00:00Z","who":"x@y","acti')
    assert len(store.history("template")) == 1
    store.promote(Reference("template"), "stable")
    assert path.read_bytes().startswith(whole)
    assert [entry.channel for entry in store.history("template")] == ["candidate", "stable"]


def test_history_of_nothing_but_a_torn_line_is_mended(store: Store) -> None:
    """The very first line may be torn too, longer than one step of reading backwards."""
    path = store.root / "images/template/history.jsonl"
    path.write_bytes(b"\x00" * 200_000)
    store.promote(Reference("template"), "stable")
    assert [entry.channel for entry in store.history("template")] == ["candidate", "stable"]


@pytest.mark.parametrize("line", [b"{}\n", b"\n", b'{"when": 3}\n', b"\xff\n"])
def test_damaged_history_line_is_named(store: Store, line: bytes) -> None:
    """A whole line that imagekit did not write is an error with file and line, not a channel that moved silently."""
    path = store.root / "images/template/history.jsonl"
    path.write_bytes(path.read_bytes() + line)
    with pytest.raises(StoreError, match=r"history\.jsonl is damaged in line 2"):
        store.channels("template")


def test_strange_entries_are_no_images(store: Store) -> None:
    """Files and directories with other names, and an image without versions, are not listed."""
    (store.root / "images/README").write_text("x")
    (store.root / "images/.hidden").mkdir()
    (store.root / "images/empty").mkdir()
    (store.root / "images/template/20269999-1").mkdir()
    assert [image.name for image in store.list_images()] == ["template"]
    assert len(store.list_versions("template")) == 1


def test_reference_that_was_never_parsed_cannot_leave_the_store(store: Store) -> None:
    """A name with a path in it is refused even when it did not come through Reference.parse."""
    with pytest.raises(StoreError, match="cannot be the name"):
        store.find(Reference("../images/template"), default_channel=None)
