"""Files to put into an image: what cannot be put there as written is refused."""

import pytest

from tests.definition.samples import SECRET, Refuse


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ('path = "/etc/../x"', "climbs with '..'"),
        ('path = "/etc//x"', "is not in its shortest form"),
        ('path = "/etc/./x"', "is not in its shortest form"),
        ('path = "/etc/x/"', "is not in its shortest form"),
        ('path = "/"', "is not in its shortest form"),
        ('path = "/etc/x\\u0000"', "has a control character"),
        ('path = "/etc/x\\ny"', "has a control character"),
        ('path = "/proc/x"', "would never be seen: a running system mounts or empties /proc"),
        ('path = "/tmp"', "would never be seen"),
        (f'path = "/{"a" * 256}"', "is longer than Linux allows"),
        ('path = "/a"\nmode = 420', "files[0].mode: expected octal digits in a string"),
        ('path = "/a"\nmode = "0888"', "files[0].mode: '0888' is not 3 or 4 octal digits"),
        ('path = "/a"\nowner = "Root"', "files[0].owner: 'Root' cannot name an account"),
        ('path = "/a"\ngroup = "a b"', "files[0].group: 'a b' cannot name an account"),
        ('path = "/a"\nsource = "imagekit.toml"', "files[0].source: content is given as well"),
        ('path = "/a"\npermissions = "0644"', "files[0].permissions: unknown key"),
    ],
)
def test_wrong_file(refuse: Refuse, lines: str, said: str) -> None:
    """A file that cannot be put into the image as written is refused."""
    (problem,) = refuse(f'[[images.template.files]]\ncontent = "x"\n{lines}\n')
    assert said in problem


@pytest.mark.parametrize("source", ["missing.txt", ".", "a\\u0000b", "x/imagekit.toml", "", "n" + "a" * 300])
def test_missing_source(refuse: Refuse, source: str) -> None:
    """A source that is not a file beside the definition is refused now, not in the middle of a build."""
    (problem,) = refuse(f'[[images.template.files]]\npath = "/a"\nsource = "{source}"\n')
    assert problem.startswith("imagekit.toml:3: images.template.files[0].source: ")


def test_file_without_path(refuse: Refuse) -> None:
    """A file that says nothing lacks both its path and its bytes, and both are told."""
    problems = refuse("[[images.template.files]]\n")
    assert problems == [
        "imagekit.toml:1: images.template.files[0]: path is missing",
        "imagekit.toml:1: images.template.files[0]: needs content or source: nothing says what is in the file",
    ]


def test_private_key_in_content(refuse: Refuse) -> None:
    """A private key in a file's text is refused and not shown."""
    text = f'path = "/a"\ncontent = """-----BEGIN OPENSSH PRIVATE KEY-----\n{SECRET}"""\n'
    (problem,) = refuse(f"[[images.template.files]]\n{text}")
    assert "imagekit.toml:3: images.template.files[0].content: holds a private key" in problem
