"""Rules about the cloud-init drive of clones and about seeds for the build itself."""

from collections.abc import Iterator, Mapping

from imagekit.build.packer.lint.media import list_isos
from imagekit.build.packer.lint.rule import ANY, ISO, PROXMOX, Case, Finding, Level, Rule, Subject
from imagekit.build.packer.values import Block

# First lines that cloud-init knows; source: cloud-init docs, "User-data formats".
_HEADERS = (
    "#cloud-config", "#!", "#include", "#cloud-boothook", "#part-handler", "## template:", "Content-Type:",
    "MIME-Version:", "#upstart-job",
)  # fmt: skip
_LABELS = ("cidata", "CIDATA")


def find_ide_drives(case: Case) -> Iterator[Finding]:
    """Yield cloud-init drives on a bus that the guest does not see."""
    bus = case.block.read_text("cloud_init_disk_type", "ide")
    if case.block.read_flag("cloud_init") is True and case.on_uefi and bus == "ide":
        yield case.at(
            case.block, "cloud_init_disk_type", "an ide drive" if case.block.has("cloud_init_disk_type") else
            "left out, so it is ide",
        )  # fmt: skip


def find_missing_pools(case: Case) -> Iterator[Finding]:
    """Yield cloud-init drives without a storage."""
    if case.block.read_flag("cloud_init") is True and case.block.lacks("cloud_init_storage_pool"):
        yield case.at(case.block, "cloud_init", "cloud_init = true and no cloud_init_storage_pool")


def find_settings_without_drive(case: Case) -> Iterator[Finding]:
    """Yield settings of a drive that is not made."""
    if case.block.read_flag("cloud_init", False) is False:
        for name in ("cloud_init_storage_pool", "cloud_init_disk_type"):
            if case.block.has(name):
                yield case.at(case.block, name, f"{name}, and cloud_init is not true")


def find_no_drive(case: Case) -> Iterator[Finding]:
    """Yield templates whose clones get no drive, without anybody having said so."""
    settings = ("cloud_init_storage_pool", "cloud_init_disk_type")
    if case.block.lacks("cloud_init") and not any(case.block.has(name) for name in settings):
        yield case.at(case.block, "cloud_init")


def _list_seeds(case: Case) -> Iterator[tuple[Block, str, Mapping[str, object]]]:
    """Yield what is put on a CD or served to the guest."""
    places = [(case.block, name) for name in ("cd_content", "http_content")]
    places += [(block, "cd_content") for block in list_isos(case)]
    for block, name in places:
        content = block.get(name)
        if isinstance(content, Mapping):
            yield block, name, content


def _list_user_data(case: Case) -> Iterator[tuple[Block, str, str, str]]:
    for block, name, content in _list_seeds(case):
        for path, text in content.items():
            if path.rsplit("/", 1)[-1] in ("user-data", "vendor-data") and isinstance(text, str):
                yield block, name, path, text


def find_headless_user_data(case: Case) -> Iterator[Finding]:
    """Yield user-data that cloud-init does not recognise."""
    for block, name, path, text in _list_user_data(case):
        if text.strip() and not text.startswith(_HEADERS):
            yield case.at(block, name, f"{path} does not begin with #cloud-config")


def find_broken_user_data(case: Case) -> Iterator[Finding]:
    """Yield cloud-configs that are not YAML; jinja templates are not judged."""
    import yaml

    for block, name, path, text in _list_user_data(case):
        if not text.startswith("#cloud-config"):
            continue
        try:
            document = yaml.safe_load(text)
        except (yaml.YAMLError, RecursionError, ValueError) as problem:
            mark = getattr(problem, "problem_mark", None)
            line = f" at its line {mark.line + 1}" if mark is not None else ""
            yield case.at(block, name, f"{path} is not YAML{line}")  # the text itself may hold a secret
            continue
        if document is not None and not isinstance(document, dict):
            yield case.at(block, name, f"{path} holds no keys and values")


def find_missing_meta_data(case: Case) -> Iterator[Finding]:
    """Yield seeds that NoCloud does not take for one."""
    for block, name, content in _list_seeds(case):
        paths = {path.lstrip("/") for path in content}
        if name == "cd_content" and "user-data" in paths and "meta-data" not in paths and block.lacks("cd_files"):
            yield case.at(block, name, "user-data without meta-data")


def _list_seed_discs(case: Case) -> Iterator[tuple[Block, str]]:
    """Yield the blocks that make a CD with user-data on it, and the setting that says so."""
    for block in (case.block, *list_isos(case)):
        content = block.get("cd_content")
        if isinstance(content, Mapping) and "user-data" in {path.lstrip("/") for path in content}:
            yield block, "cd_content"
        elif "user-data" in {text.rsplit("/", 1)[-1] for text in block.read_texts("cd_files") or ()}:
            yield block, "cd_files"


def find_wrong_labels(case: Case) -> Iterator[Finding]:
    """Yield seeds on a CD that nobody looks for."""
    for block, name in _list_seed_discs(case):
        label = block.read_text("cd_label", "packer")
        if label is not None and label not in _LABELS:
            said = case.tell(block, "cd_label") if block.has("cd_label") else "left out, so it is 'packer'"
            yield case.at(block, "cd_label" if block.has("cd_label") else name, f"cd_label {said}")


RULES = (
    Rule(
        "cloud-init-ide", Level.ERROR, Subject.CLOUD_INIT, PROXMOX, find_ide_drives,
        "a guest on q35 or OVMF never sees an ide drive: clones get no user, key, name or address",
        'cloud_init_disk_type = "scsi"',
    ),
    Rule(
        "cloud-init-pool", Level.ERROR, Subject.CLOUD_INIT, PROXMOX, find_missing_pools,
        "the plugin guesses from a legacy key after everything else is done, and the build dies at its end",
        'cloud_init_storage_pool = "…"',
    ),
    Rule(
        "cloud-init-unused", Level.ERROR, Subject.CLOUD_INIT, PROXMOX, find_settings_without_drive,
        "the drive is not made, and clones get no user, key, name or address", "cloud_init = true",
    ),
    Rule(
        "cloud-init-left-out", Level.WARNING, Subject.CLOUD_INIT, ISO, find_no_drive,
        "the template has no cloud-init drive: every clone needs one added by hand",
        "cloud_init = true, or false to say that it is meant",
    ),
    Rule(
        "user-data-header", Level.ERROR, Subject.CLOUD_INIT, ANY, find_headless_user_data,
        "cloud-init ignores it, and the installer waits for answers or nobody can log in",
        "begin it with #cloud-config",
    ),
    Rule(
        "user-data-yaml", Level.ERROR, Subject.CLOUD_INIT, ANY, find_broken_user_data,
        "cloud-init ignores it, and the installer waits for answers or nobody can log in",
        "mend the YAML; `cloud-init schema -c FILE` names the place",
    ),
    Rule(
        "meta-data-missing", Level.ERROR, Subject.CLOUD_INIT, ANY, find_missing_meta_data,
        "NoCloud takes a CD for a seed only when both files are there", 'add "meta-data" = "" to it',
    ),
    Rule(
        "seed-label", Level.ERROR, Subject.CLOUD_INIT, ANY, find_wrong_labels,
        "NoCloud looks for a filesystem of this label only", 'cd_label = "cidata"',
    ),
)  # fmt: skip
