"""Rules about secrets and about whom the cluster is asked as. Nothing here ever quotes a secret."""

from collections.abc import Iterator
from urllib.parse import urlsplit

from imagekit.build.packer.lint.rule import ANY, PROXMOX, TEMPLATE, Case, Finding, Level, Rule, Subject
from imagekit.build.packer.template import Template

_CLUSTER = ("password", "token")
_LOGIN = (
    "ssh_password", "ssh_bastion_password", "ssh_proxy_password", "winrm_password",
)  # fmt: skip
_LOOPBACK = ("127.0.0.1", "::1", "localhost")


def _find_literals(case: Case, names: tuple[str, ...]) -> Iterator[Finding]:
    for name in names:
        setting = case.block.settings.get(name)
        if setting is not None and setting.written and setting.value not in (None, ""):
            yield case.at(case.block, name, f"{name} stands in the template")


def find_literal_secrets(case: Case) -> Iterator[Finding]:
    """Yield credentials of the cluster that are written into a file."""
    yield from _find_literals(case, _CLUSTER)


def find_literal_passwords(case: Case) -> Iterator[Finding]:
    """Yield passwords of the build that are written into a file."""
    yield from _find_literals(case, _LOGIN)


def _list_secret_variables(template: Template) -> Iterator[str]:
    names = {
        variable
        for source in (*template.sources, *template.builds)
        for field in (*_CLUSTER, *_LOGIN)
        if (setting := source.block.settings.get(field)) is not None
        for variable in setting.variables
    }
    yield from sorted(names & template.variables.keys())


def find_open_secrets(case: Case) -> Iterator[Finding]:
    """Yield variables for secrets that Packer does not mask."""
    for name in _list_secret_variables(case.template):
        variable = case.template.variables[name]
        if not variable.sensitive:
            yield Finding(variable.file, variable.line, f"var.{name}", "not sensitive")


def find_default_secrets(case: Case) -> Iterator[Finding]:
    """Yield secrets written into a file as the default of a variable."""
    for name in _list_secret_variables(case.template):
        variable = case.template.variables[name]
        if isinstance(variable.default, str) and variable.default:
            yield Finding(variable.file, variable.line, f"var.{name}", "a default that is not empty")


def find_silent_trust(case: Case) -> Iterator[Finding]:
    """Yield templates that tell everyone to trust any certificate."""
    setting = case.block.settings.get("insecure_skip_tls_verify")
    if setting is not None and setting.written and case.block.read_flag("insecure_skip_tls_verify") is True:
        yield case.at(case.block, "insecure_skip_tls_verify")


def find_strange_users(case: Case) -> Iterator[Finding]:
    """Yield names that the cluster knows nobody by."""
    name = case.block.read_text("username")
    if name is None:
        return
    user, _, token = name.partition("!")
    if "@" not in user.strip("@"):
        yield case.at(case.block, "username", f"{case.tell(case.block, 'username')} has no realm")
    elif case.block.settings.get("token") is not None and not case.block.lacks("token") and not token:
        yield case.at(case.block, "username", f"token, and {case.tell(case.block, 'username')} names none")
    elif "!" in name and case.block.lacks("token") and case.block.has("password"):
        yield case.at(case.block, "username", "the name of a token, with a password")


def find_strange_urls(case: Case) -> Iterator[Finding]:
    """Yield addresses that are not the API's; http is for this machine only."""
    text = case.block.read_text("proxmox_url")
    if text is None:
        return
    try:
        parts = urlsplit(text)
        host = parts.hostname or ""
        _ = parts.port
    except ValueError:
        yield case.at(case.block, "proxmox_url", "not a URL")
        return
    if parts.username or parts.password:
        yield case.at(case.block, "proxmox_url", "a password inside")  # it is never quoted
    elif not host or parts.scheme not in ("http", "https"):
        yield case.at(case.block, "proxmox_url")
    elif parts.scheme == "http" and host not in _LOOPBACK:
        yield case.at(case.block, "proxmox_url", "http: the token crosses the network in clear")
    elif parts.path.rstrip("/") != "/api2/json":
        yield case.at(case.block, "proxmox_url")


RULES = (
    Rule(
        "literal-secret", Level.ERROR, Subject.CREDENTIALS, PROXMOX, find_literal_secrets,
        "whoever reads the template, or the repository it is in, owns the cluster",
        "a variable with sensitive = true, given as PKR_VAR_… or PROXMOX_TOKEN",
    ),
    Rule(
        "literal-password", Level.WARNING, Subject.CREDENTIALS, ANY, find_literal_passwords,
        "a password that everyone can read opens the machine while it is built, and every clone if it is not removed",
        "an SSH key made for each build, or a variable with sensitive = true",
    ),
    Rule(
        "secret-not-sensitive", Level.ERROR, Subject.CREDENTIALS, TEMPLATE, find_open_secrets,
        "Packer prints its value in logs and in `packer inspect`", "sensitive = true in the variable",
    ),
    Rule(
        "secret-default", Level.ERROR, Subject.CREDENTIALS, TEMPLATE, find_default_secrets,
        "whoever reads the template, or the repository it is in, has the secret", "no default; give it as PKR_VAR_…",
    ),
    Rule(
        "insecure-tls", Level.ERROR, Subject.CREDENTIALS, PROXMOX, find_silent_trust,
        "whoever sits between gets the token, and nobody who runs the build has chosen that",
        "remove it, or take it from a variable whose default is false",
    ),
    Rule(
        "token-user", Level.ERROR, Subject.CREDENTIALS, PROXMOX, find_strange_users,
        "the cluster answers 401 when the build begins", 'username = "USER@REALM!TOKENID" with token',
    ),
    Rule(
        "cluster-url", Level.ERROR, Subject.CREDENTIALS, PROXMOX, find_strange_urls,
        "the build cannot talk to the cluster, or everyone on the way can listen",
        '"https://HOST:8006/api2/json"',
    ),
)  # fmt: skip
