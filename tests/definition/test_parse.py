"""Parsing ``imagekit.toml``: right values become nouns, every wrong one is told with line, key and reason."""

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from imagekit.definition import (
    Base,
    Builder,
    Distribution,
    DriveBus,
    Feature,
    FileEntry,
    ImageDefinition,
    MachineType,
    Medium,
    PackerBuild,
    PackerSource,
    Promtail,
    Release,
    RootLogin,
    SshPolicy,
    User,
    read_project,
)
from imagekit.definition.image_table import TABLES
from imagekit.definition.parse import parse_project
from imagekit.definition.toml_file import TomlFile
from imagekit.errors import DefinitionInvalid
from imagekit.image import Architecture
from tests.definition.samples import KEY, SECRET, Refuse


def _read(directory: Path, text: str) -> ImageDefinition:
    (directory / "imagekit.toml").write_text(text, encoding="utf-8")
    return read_project(directory).find_image("template")


def test_every_key_is_read(tmp_path: Path) -> None:
    """A definition with every key becomes the noun with exactly these values."""
    (tmp_path / "promtail.deb").write_bytes(b"!<arch>\n")
    for name in ("motd.txt", "site.yml", "one.sh", "two.sh"):
        (tmp_path / name).write_text("hello")
    image = _read(
        tmp_path,
        f"""
[images.template]
kind = "template"
builder = "packer"
base = {{ distribution = "debian", release = "13" }}
architecture = "arm64"
packages = ["htop", "g++", "libc6-dev"]
features = ["docker", "promtail"]
timezone = "Europe/Berlin"
size = "4G"
esp = 134217728
firmware = "ovmf"
machine = "i440fx"
cloud_init_drive = "ide"
vm_id = 999999999
cores = 4
memory = "4G"
boot_test = false
channels = ["candidate", "beta-1", "stable"]
[images.template.ssh]
root_login = "prohibit-password"
[images.template.packer]
source = "qemu"
disk = {{ path = "images/debian.qcow2", sha256 = "{"AB" * 32}" }}
playbook = "site.yml"
scripts = ["one.sh", "two.sh"]
[images.template.promtail]
loki_url = "https://loki.example:3100/loki/api/v1/push"
package = "promtail.deb"
[[images.template.files]]
path = "/etc/motd"
source = "motd.txt"
mode = "4755"
owner = "ops"
group = "adm"
[[images.template.files]]
path = "/etc/empty"
content = ""
[[images.template.users]]
name = "ops"
groups = ["sudo", "adm"]
shell = "/bin/sh"
ssh_keys = ["{KEY}"]
sudo = true
""",
    )
    assert image == ImageDefinition(
        name="template",
        builder=Builder.PACKER,
        packer=PackerBuild(
            PackerSource.QEMU,
            disk=Medium("ab" * 32, path=tmp_path / "images" / "debian.qcow2"),
            playbook=tmp_path / "site.yml",
            scripts=(tmp_path / "one.sh", tmp_path / "two.sh"),
        ),
        base=Base(Distribution.DEBIAN, Release.TRIXIE),
        architecture=Architecture.ARM64,
        packages=("htop", "g++", "libc6-dev"),
        features=(Feature.DOCKER, Feature.PROMTAIL),
        files=(
            FileEntry("/etc/motd", source=tmp_path / "motd.txt", mode=0o4755, owner="ops", group="adm"),
            FileEntry("/etc/empty", content=""),
        ),
        users=(User("ops", ("sudo", "adm"), "/bin/sh", (KEY,), sudo=True),),
        ssh=SshPolicy(RootLogin.KEYS),
        promtail=Promtail("https://loki.example:3100/loki/api/v1/push", tmp_path / "promtail.deb"),
        timezone="Europe/Berlin",
        size=4 << 30,
        esp=128 << 20,
        machine=MachineType.I440FX,
        cloud_init_drive=DriveBus.IDE,
        vm_id=999999999,
        cores=4,
        memory=4 << 30,
        boot_test=False,
        channels=("candidate", "beta-1", "stable"),
    )


@pytest.mark.parametrize(
    ("text", "release"),
    [
        ("12", Release.BOOKWORM),
        ("bookworm", Release.BOOKWORM),
        ("13", Release.TRIXIE),
        ("trixie", Release.TRIXIE),
        ("24.04", Release.NOBLE),
        ("noble", Release.NOBLE),
        ("3.22", Release.ALPINE_3_22),
    ],
)
def test_release_by_number_or_name(tmp_path: Path, text: str, release: Release) -> None:
    """A release may be given by its number or its code name, where it has one."""
    base = f'distribution = "{release.distribution}"\nrelease = "{text}"'
    image = _read(tmp_path, f'[images.template]\nbuilder = "packer"\n[images.template.base]\n{base}')
    assert image.base == Base(release.distribution, release)


@pytest.mark.parametrize("distribution", Distribution)
def test_each_distribution_has_its_own_default_release(tmp_path: Path, distribution: Distribution) -> None:
    """A definition that names only the distribution gets a release of it."""
    base = f'base = {{ distribution = "{distribution}" }}'
    image = _read(tmp_path, f'[images.template]\nbuilder = "packer"\n{base}')
    assert image.base == Base(distribution, distribution.default_release)
    assert image.base.release.distribution is distribution
    assert Distribution.UBUNTU.default_release is Release.NOBLE
    assert Distribution.ALPINE.default_release is Release.ALPINE_3_22


def test_all_problems_come_together(refuse: Refuse) -> None:
    """One reading tells every mistake of the file, in the order of its lines."""
    problems = refuse(
        """
extra = 1
[images.template]
sise = "2G"
vm_id = 99
features = ["promtail", "dokcer"]
[images.template.ssh]
root_login = "yes"
[[images.template.users]]
name = "root"
[[images.template.files]]
path = "etc/motd"
[images."A b"]
vm_id = 9001
""",
    )
    assert problems == [
        "imagekit.toml:2: extra: unknown key; known here: cluster, images",
        "imagekit.toml:4: images.template.sise: unknown key; did you mean 'size'?",
        "imagekit.toml:5: images.template.vm_id: the integer 99 is out of range; Proxmox takes 100 to 999999999",
        (
            'imagekit.toml:6: images.template.features[1]: \'dokcer\' is not "docker" or "node-exporter" or "promtail" '
            "or \"hardening\"; did you mean 'docker'?"
        ),
        (
            "imagekit.toml:6: images.template.features: promtail needs a table [images.template.promtail] with "
            "loki_url and package"
        ),
        'imagekit.toml:8: images.template.ssh.root_login: \'yes\' is not "no" or "prohibit-password"',
        (
            "imagekit.toml:9: images.template.users[0]: needs ssh_keys: templates carry no passwords, so nobody could "
            "log in without a key"
        ),
        "imagekit.toml:10: images.template.users[0].name: 'root' is reserved for the system; choose another name",
        "imagekit.toml:11: images.template.files[0]: needs content or source: nothing says what is in the file",
        "imagekit.toml:12: images.template.files[0].path: 'etc/motd' is not absolute; it must begin with '/'",
        (
            "imagekit.toml:13: images.'A b': 'A b' cannot name an image; use 1 to 63 of a-z, 0-9 and '-', "
            "not at either end"
        ),
    ]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        # types
        ("kind = 1", "kind: expected a string, found the integer 1"),
        ("base = 1", "base: expected a table, found the integer 1"),
        ("base = { release = 12 }", "base.release: expected a string, found the integer 12"),
        ('packages = "htop"', "packages: expected an array, found a string"),
        ("packages = [1.5]", "packages[0]: expected a string, found the float 1.5"),
        ("features = [[]]", "features[0]: expected a string, found an array"),
        ("files = {}", "files: expected an array, found a table"),
        ("users = [1979-05-27]", "users[0]: expected a table, found a date or time"),
        ("timezone = true", "timezone: expected a string, found the boolean true"),
        ("size = 2.5", "size: expected a size, found the float 2.5"),
        ("size = true", "size: expected a size, found the boolean true"),
        ('vm_id = "9000"', "vm_id: expected an integer, found a string"),
        ("vm_id = true", "vm_id: expected an integer, found the boolean true"),
        ("boot_test = 1", "boot_test: expected true or false, found the integer 1"),
        # choices
        ('kind = "iso"', 'kind: \'iso\' is not "template"'),
        ('base = { distribution = "ubunut" }', "did you mean 'ubuntu'?"),
        ('base = { release = "11" }', 'is not "12" or "bookworm" or "13" or "trixie" or "24.04" or "noble" or "3.22"'),
        ('builder = "paker"', 'builder: \'paker\' is not "local" or "packer"; did you mean \'packer\'?'),
        ('architecture = "amd46"', "did you mean 'amd64'?"),
        ('firmware = "efi"', 'firmware: \'efi\' is not "ovmf" or "seabios"'),
        ('machine = "pc"', 'machine: \'pc\' is not "q35" or "i440fx"'),
        ('cloud_init_drive = "usb"', 'is not "scsi" or "sata" or "ide"'),
        # sizes and numbers
        ('size = "2GB"', "size: '2GB' is not a size"),
        ('size = "1023M"', "size: '1023M' is out of range; it must be 1024M to 16T"),
        ('size = "17T"', "size: '17T' is out of range"),
        ("size = 1073741825", "size: the integer 1073741825 is not a multiple of 1 MiB"),
        ("size = -1", "size: the integer -1 is out of range"),
        ('esp = "32M"', "esp: '32M' is out of range; it must be 33M to 2048M, or 0 for no ESP"),
        ("vm_id = 99", "out of range"),
        ("vm_id = 1000000000", "out of range"),
        ("cores = 0", "cores: the integer 0 is out of range; it must be 1 to 512"),
        ("cores = 513", "cores: the integer 513 is out of range"),
        ('cores = "2"', "cores: expected an integer, found a string"),
        ('memory = "511M"', "memory: '511M' is out of range; it must be 512M to 4T"),
        ('memory = "5T"', "memory: '5T' is out of range"),
        # names
        ('packages = ["Htop"]', "packages[0]: 'Htop' cannot name a Debian package"),
        ('packages = ["x"]', "packages[0]: 'x' cannot name a Debian package"),
        ('packages = ["-oDpkg::Pre-Invoke"]', "cannot name a Debian package"),
        ('packages = ["htop:arm64"]', "packages[0]: 'htop:arm64' names an architecture"),
        ('packages = ["htop=3.2"]', "packages[0]: 'htop=3.2' is more than a name"),
        ('packages = ["htop/sid"]', "packages[0]: 'htop/sid' is more than a name"),
        ('packages = ["htop-"]', "which tells apt to remove a package"),
        ('packages = ["htop", "htop"]', "packages[1]: 'htop' is there twice"),
        ('features = ["docker", "docker"]', "features[1]: 'docker' is there twice"),
        ('channels = ["stable", "stable"]', "channels[1]: 'stable' is there twice"),
        ('channels = ["Stable"]', "channels[0]: 'Stable' cannot name a channel"),
        ('channels = ["20261121-1"]', "channels[0]: '20261121-1' is how versions are written"),
        ('timezone = "Europe/Berln"', "did you mean 'Europe/Berlin'?"),
        ('timezone = "Berlin"', "did you mean 'Europe/Berlin'?"),
        ('timezone = "../../etc/passwd"', "is not a time zone"),
        # unknown keys
        ("boot-test = true", "boot-test: unknown key; did you mean 'boot_test'?"),
        ("base = { relase = '12' }", "base.relase: unknown key; did you mean 'release'?"),
        ("zzz = 1", "zzz: unknown key; known here: architecture, base,"),
        ("root_password = 'x'", "root_password: templates carry no passwords"),
    ],
)  # fmt: skip
def test_wrong_image_value(refuse: Refuse, line: str, said: str) -> None:
    """A wrong value of an image is the one problem that is told, on its line."""
    (problem,) = refuse(f"[images.template]\n{line}\n")
    assert problem.startswith("imagekit.toml:2: images.template.")
    assert said in problem


def test_duplicate_path_and_user(refuse: Refuse) -> None:
    """The second file of one path and the second user of one name are told at their own lines."""
    text = "".join(f'[[images.template.files]]\npath = "/a"\ncontent = "{n}"\n' for n in "12")
    text += "".join(f'[[images.template.users]]\nname = "ops"\nssh_keys = ["{KEY}"]\n' for _ in "12")
    assert refuse(text) == [
        "imagekit.toml:5: images.template.files[1].path: '/a' is there twice",
        "imagekit.toml:11: images.template.users[1].name: 'ops' is there twice",
    ]


@pytest.mark.parametrize("url", ["loki.example", "ftp://loki.example", "http://", "http://a b/", "http://[", "http://a:x/",
                                 "http://a/\\n", "http://a/\\\"x"])  # fmt: skip
def test_wrong_loki_url(tmp_path: Path, refuse: Refuse, url: str) -> None:
    """Only an http or https address can be where logs go."""
    (tmp_path / "p.deb").touch()
    text = f'[images.template]\nfeatures = ["promtail"]\npromtail = {{ package = "p.deb", loki_url = "{url}" }}\n'
    (problem,) = refuse(text)
    assert "imagekit.toml:3: images.template.promtail.loki_url: " in problem
    assert "is not an http or https address" in problem


def test_credentials_in_loki_url(tmp_path: Path, refuse: Refuse) -> None:
    """An address with a password is refused without showing it."""
    (tmp_path / "p.deb").touch()
    url = f"http://me:{SECRET}@loki.example/"
    text = f'[images.template]\nfeatures = ["promtail"]\npromtail = {{ package = "p.deb", loki_url = "{url}" }}\n'
    (problem,) = refuse(text)
    assert "carries a user or password" in problem


def test_incomplete_promtail(tmp_path: Path, refuse: Refuse) -> None:
    """A promtail table without its keys is told key by key, and not as a missing table."""
    text = '[images.template]\nfeatures = ["promtail"]\n[images.template.promtail]\npackage = "promtail.rpm"\n'
    (tmp_path / "promtail.rpm").touch()
    assert refuse(text) == [
        "imagekit.toml:3: images.template.promtail: loki_url is missing",
        "imagekit.toml:4: images.template.promtail.package: 'promtail.rpm' is not a .deb package",
    ]


@pytest.mark.parametrize("text", ["images = 1", "[[images]]\n", "[images]\ntemplate = 1"])
def test_images_are_tables(refuse: Refuse, text: str) -> None:
    """Images that are not tables are told by their type."""
    (problem,) = refuse(text)
    assert "expected a table, found" in problem


def test_long_value_is_cut(refuse: Refuse) -> None:
    """A value of any length fills no screen."""
    (problem,) = refuse(f'[images.template]\nkind = "{"a" * 5000}"')
    assert len(problem) < 200


_keys = st.sampled_from(sorted({key for table in TABLES.values() for key in table.keys})) | st.text(max_size=5)
_texts = st.text(max_size=12) | st.sampled_from(["/etc/x", "http://[/", "12", "2G", KEY, "promtail", "ide", "q35", "."])
_leaves = st.one_of(_texts, st.integers(), st.floats(), st.booleans(), st.dates())
_values = st.recursive(_leaves, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_keys, inner), max_leaves=5)


@settings(max_examples=40, suppress_health_check=[HealthCheck.too_slow])  # that measures the machine's other load
@given(st.dictionaries(st.sampled_from(["template", "web"]) | st.text(max_size=3), st.dictionaries(_keys, _values)))
def test_no_value_breaks_the_parser(images: dict[str, object]) -> None:
    """Whatever values TOML can hold are read or refused, and every refusal has a place and a reason on one line."""
    file = TomlFile("imagekit.toml", {"images": images}, {})
    problems: tuple[str, ...] = ()
    try:
        assert list(parse_project(file, Path("/nonexistent/imagekit.toml"))[0]) == list(images)
    except DefinitionInvalid as error:
        problems = error.problems or ("",)
    assert all(problem.startswith("imagekit.toml:1: images") for problem in problems)
    assert all(problem.isprintable() for problem in problems)
