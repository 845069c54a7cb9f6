"""YAML from an untrusted image."""

import pytest

from imagekit.verify.facts.yaml_text import YamlInvalid, read_yaml

LAUGHS = "a: &a [x]\n" + "".join(
    f"{name}: &{name} [{', '.join([f'*{before}'] * 99)}]\n" for before, name in ("ab", "bc", "cd")
)


def test_plain_text_is_read() -> None:
    """An ordinary file means what it says."""
    assert read_yaml("a: [1, {b: off}]\n") == {"a": [1, {"b": False}]}


@pytest.mark.parametrize(
    "text",
    [
        "a: [",
        "[" * 5000,
        LAUGHS,
        "a: !!python/object/apply:os.system [id]",
        "x" * ((1 << 20) + 1),
        "? {a: 1}\n: 2\n? [1]\n: 3\n",
        "a: \x01",
        "d: 2001-99-99",
    ],
    ids=["open", "deep", "aliases", "python", "long", "keys", "control", "date"],
)
def test_hostile_text_is_refused(text: str) -> None:
    """What is no YAML, or more than a configuration needs, is one short error."""
    with pytest.raises(YamlInvalid) as caught:
        read_yaml(text)
    assert len(str(caught.value)) < 200
