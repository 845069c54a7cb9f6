"""build: the reference on standard output, everything else on standard error, and what a failed check looks like."""

from pathlib import Path

import pytest

from tests.cli.conftest import Program
from tests.stand_in import StandIn, make_boot_finding, make_dirty


@pytest.fixture
def stand_in(clean_disk: Path, monkeypatch: pytest.MonkeyPatch) -> StandIn:
    """Return the stand-in for builder and proof, which gives the clean disk."""
    return StandIn(clean_disk).install(monkeypatch)


def test_reference_is_the_only_result(program: Program, stand_in: StandIn) -> None:
    """A build prints its reference alone; stages and the note about repeating it are messages."""
    said = program("build", "template", "--promote", "stable")
    assert said.output.count("\n") == 1
    reference = said.output.strip()
    assert program("show", reference, "--json").json()["reference"] == reference
    stages = [line.split(maxsplit=1)[1] for line in said.errors.splitlines() if not line.startswith("note: ")]
    assert stages == ["writing the disk", "verifying", "booting two clones (1 s)", "storing the version"]
    assert "note: this build cannot be repeated bit for bit: mke2fs 1.47.0 writes the time\n" in said.errors
    assert program("show", "template@stable", "--json").json()["reference"] == reference


def test_build_as_a_document(program: Program, stand_in: StandIn) -> None:
    """``--json`` says what the version is and whether it is new; the same content again adds nothing and says so."""
    first = program("build", "template", "--json").json()
    assert first["added"] is True
    assert first["proven"] is True
    said = program("build", "template", "--json")
    assert "note: the same content is stored already; nothing was added\n" in said.errors
    assert said.json() == {**first, "added": False}


def test_proof_made_later_is_told(program: Program, stand_in: StandIn) -> None:
    """A version that was not booted says so; booted later, it has its proof."""
    first = program("build", "template", "--no-boot-test", "--json").json()
    assert first["proven"] is False
    said = program("build", "template", "--json")
    assert "note: the same content is stored already; it has its boot proof now\n" in said.errors
    assert said.json() == {**first, "added": False, "proven": True}


def test_failed_check_is_a_table_of_messages(program: Program, stand_in: StandIn, tmp_path: Path) -> None:
    """A disk that is not fit ends with 5: nothing on standard output, findings and remedy on standard error."""
    stand_in.disk = make_dirty(stand_in.disk, tmp_path)
    said = program("build", "template", status=5)
    assert said.output == ""
    assert "fail  machine-id  /etc/machine-id" in said.errors
    assert "fix: " in said.errors
    assert "error: template is not fit to be cloned: 1 check failed" in said.errors
    assert program("images").output == ""


def test_failed_check_as_a_document(program: Program, stand_in: StandIn, tmp_path: Path) -> None:
    """With ``--json`` the report is the result, and the exit code still says that nothing was stored."""
    stand_in.disk = make_dirty(stand_in.disk, tmp_path)
    document = program("build", "template", "--json", status=5).json()
    assert [finding["check"] for finding in document["report"]["findings"]] == ["machine-id"]


def test_clone_that_does_not_boot_is_told(program: Program, stand_in: StandIn) -> None:
    """What a booted clone showed is told like any finding, with its escapes written out."""
    stand_in.boot_findings = (make_boot_finding(),)
    said = program("build", "template", status=5)
    assert "fail  boot-ssh" in said.errors
    assert "stopped in stage kernel\\x1b[31m" in said.errors


def test_keep_names_the_disk(program: Program, stand_in: StandIn, tmp_path: Path) -> None:
    """With ``--keep`` the hint says where the failed disk is."""
    stand_in.disk = make_dirty(stand_in.disk, tmp_path)
    said = program("build", "template", "--keep", status=5)
    path = said.errors.strip().splitlines()[-1].removeprefix("hint: the disk is kept as ")
    assert Path(path).is_file()


def test_images_of_the_project_are_built(program: Program, stand_in: StandIn) -> None:
    """The definition of the working directory decides what can be built."""
    Path("imagekit.toml").write_text('[images.web]\nchannels = ["night"]\n')
    assert program("build", "web", "--promote", "night").output.startswith("web@")
    assert "did you mean" not in program("build", "template", status=3).errors
    assert program("images", "--json").json()["images"][0]["channels"].keys() == {"night"}


def test_timings_are_messages(program: Program, stand_in: StandIn) -> None:
    """``--timings`` says after the build how long each step took; the result stays the reference alone."""
    said = program("build", "template", "--timings")
    assert said.output.startswith("template@")
    table = said.errors[said.errors.index("STEP ") :].splitlines()
    steps = ["getting ready", "writing the disk", "verifying", "booting two clones", "storing the version", "total"]
    assert [line.rsplit(maxsplit=2)[0] for line in table[1 : len(steps) + 1]] == steps
    assert table[len(steps)].endswith("100%")


def test_timings_as_a_document(program: Program, stand_in: StandIn) -> None:
    """With ``--json`` the document has the steps too, and only when they were asked for."""
    document = program("build", "template", "--timings", "--json").json()
    assert [step["step"] for step in document["timings"]][-1] == "storing the version"
    assert all(step["seconds"] >= 0 for step in document["timings"])
    assert "timings" not in program("build", "template", "--json").json()


def test_failed_build_has_timings(program: Program, stand_in: StandIn, tmp_path: Path) -> None:
    """What took so long is told of a build that failed, too: behind its findings, before the error."""
    stand_in.disk = make_dirty(stand_in.disk, tmp_path)
    errors = program("build", "template", "--timings", status=5).errors
    assert errors.index("fix: ") < errors.index("STEP ") < errors.index("error: template is not fit")


def test_card_without_a_key(program: Program) -> None:
    """``imagekit build pihole`` with nothing configured says what it needs, and where to write it."""
    said = program("build", "pihole", status=3)
    assert "error: image pihole has no SSH key, and without one nobody could enter the machine" in said.errors
    assert "hint: add to imagekit.toml, under [images.pihole]" in said.errors
    assert program("build", "pihole", "--dry-run", status=3).output == ""


@pytest.mark.parametrize(
    ("arguments", "status", "sentence"),
    [
        (("template", "--builder", "nonsense"), 2, "'nonsense' is no builder"),
        (("template", "--builder", "vagrant"), 3, "image template is a template, which Nix does not build"),
        (("template", "--builder", "ssh://me@nas.example"), 3, "templates are built by local or packer"),
        (("template", "--verify-rebuild"), 3, "only Nix builds twice"),
        (("pihole", "--builder", "packer"), 3, "cannot be built with builder packer"),
        (("pihole", "--source", "qemu"), 3, "cannot be built with builder packer"),
        (("pihole", "--builder", "ssh://me:secret@nas.example"), 3, "may not hold a password"),
    ],
)
def test_builder_that_does_not_fit(program: Program, arguments: tuple[str, ...], status: int, sentence: str) -> None:
    """What builds and what is built have to fit; the sentence says what would."""
    said = program("build", *arguments, status=status)
    assert sentence in said.errors
    assert "secret@" not in said.errors
