"""What the tests of definitions share: a directory to write ``imagekit.toml`` into, and how it is refused."""

from pathlib import Path

import pytest

from imagekit.definition import read_project
from imagekit.errors import DefinitionInvalid
from tests.definition.samples import SECRET, Refuse


@pytest.fixture
def refuse(tmp_path: Path) -> Refuse:
    """Return a function that reads a text that must be refused, and gives the problems; none may show a secret."""

    def read(text: str) -> list[str]:
        (tmp_path / "imagekit.toml").write_text(text, encoding="utf-8")
        with pytest.raises(DefinitionInvalid) as caught:
            read_project(tmp_path)
        assert caught.value.problems
        assert SECRET not in " ".join([caught.value.message, *caught.value.problems])
        return list(caught.value.problems)

    return read
