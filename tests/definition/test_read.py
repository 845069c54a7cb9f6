"""From a directory to a project."""

from pathlib import Path

import pytest

from imagekit.definition import ImageDefinition, Project, make_sd_image, read_project
from imagekit.definition.read import find_definition_file
from imagekit.errors import DefinitionInvalid


def test_built_in_project(tmp_path: Path) -> None:
    """Without a file there are the images template and pihole, and every value of them is a default."""
    project = read_project(tmp_path)
    assert project.path is None
    assert project.images == {"template": ImageDefinition("template"), "pihole": make_sd_image("pihole")}
    assert set(project.origins.values()) == {"default"}
    assert project.find_image("template").name == "template"


def test_nearest_file_above_counts(tmp_path: Path) -> None:
    """The file is looked for upward, and the nearest one wins."""
    inner = tmp_path / "a" / "b"
    inner.mkdir(parents=True)
    (tmp_path / "imagekit.toml").write_text("[images.outer]\n")
    assert read_project(inner).path == tmp_path / "imagekit.toml"
    (tmp_path / "a" / "imagekit.toml").write_text("[images.inner]\n")
    assert list(read_project(inner).images) == ["inner"]
    assert find_definition_file(tmp_path) == tmp_path / "imagekit.toml"


def test_dangling_link_is_not_passed_over(tmp_path: Path) -> None:
    """A file that is there and cannot be read is an error; another project's above it is not taken instead."""
    (tmp_path / "imagekit.toml").write_text("")
    inner = tmp_path / "inner"
    inner.mkdir()
    (inner / "imagekit.toml").symlink_to("nowhere")
    with pytest.raises(DefinitionInvalid, match="is not a regular file"):
        read_project(inner)


def test_file_names_all_images(tmp_path: Path) -> None:
    """Where a file exists, template is there only if the file names it."""
    (tmp_path / "imagekit.toml").write_text("[images.web]\n")
    project = read_project(tmp_path)
    assert list(project.images) == ["web"]
    with pytest.raises(DefinitionInvalid, match="defines no image 'template'"):
        project.find_image("template")


def test_unknown_image_is_suggested(tmp_path: Path) -> None:
    """A misspelled image is refused with the one that was meant and the list of those that there are."""
    (tmp_path / "imagekit.toml").write_text("[images.template]\n[images.web]\nvm_id = 9001\n")
    with pytest.raises(DefinitionInvalid) as caught:
        read_project(tmp_path).find_image("templat")
    assert "did you mean 'template'?" in caught.value.message
    assert caught.value.hint == "it defines template, web"


def test_empty_file_has_no_images(tmp_path: Path) -> None:
    """An empty file is valid and defines nothing; the hint says what to add."""
    (tmp_path / "imagekit.toml").write_text("")
    project = read_project(tmp_path)
    assert project == Project(tmp_path / "imagekit.toml", {}, {})
    with pytest.raises(DefinitionInvalid) as caught:
        project.find_image("template")
    assert caught.value.hint == "add a table [images.template]"


def test_origins_are_lines(tmp_path: Path) -> None:
    """Each value has the line that it is from, inside of tables too, or default."""
    (tmp_path / "imagekit.toml").write_text(
        '[images.template]\nsize = "4G"\nbase = { release = "13" }\n\n[images.template.ssh]\nroot_login = "no"\n'
        '[[images.template.files]]\npath = "/a"\ncontent = ""\n[[images.template.files]]\npath = "/b"\ncontent = ""\n'
    )
    origins = read_project(tmp_path).origins
    assert {key: origin for key, origin in origins.items() if origin != "default"} == {
        "images.template.size": "imagekit.toml:2",
        "images.template.base.release": "imagekit.toml:3",
        "images.template.ssh.root_login": "imagekit.toml:6",
        "images.template.files": "imagekit.toml:7",
    }
    assert origins["images.template.base.distribution"] == "default"
    assert origins["images.template.promtail.loki_url"] == "default"


def test_relative_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A relative start is taken from the working directory, and the project knows its absolute path."""
    (tmp_path / "imagekit.toml").write_text("[images.template]\n")
    monkeypatch.chdir(tmp_path)
    assert read_project(Path()).path == tmp_path / "imagekit.toml"
