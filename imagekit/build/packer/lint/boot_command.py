"""Rules about the keys that are typed to an installer.

The keys are those of packer-plugin-sdk's grammar, ``bootcommand/boot_command.pigeon``; what it does not know it types
as text, letter by letter, without a word.
"""

import re
from collections.abc import Iterator

from imagekit.build.packer.lint.rule import ANY, Case, Finding, Level, Rule, Subject
from imagekit.definition.problems import suggest

_KEYS = (
    "bs", "del", "enter", "esc", "f1", "f2", "f3", "f4", "f5", "f6", "f7", "f8", "f9", "f10", "f11", "f12", "return",
    "tab", "up", "down", "spacebar", "insert", "home", "end", "pageup", "pagedown", "leftalt", "leftctrl", "leftshift",
    "rightalt", "rightctrl", "rightshift", "leftsuper", "rightsuper", "leftcommand", "rightcommand", "leftoption",
    "rightoption", "left", "right", "menu",
)  # fmt: skip
_WAIT = re.compile(r"wait(0|[1-9]\d*|(-?(0|[1-9]\d*)(\.\d+)?(ns|us|µs|ms|s|m|h))+)?")
_KEY = re.compile(rf"({'|'.join(_KEYS)})(on|off)?|.(on|off)", re.IGNORECASE)
_SPECIAL = re.compile(r"<([^<>\s]{1,24})>")
_NAMED = re.compile(r"\{\{-?\s*\.(\w+)[^{}]{0,80}\}\}")
_NAMES = {
    "proxmox-iso": ("HTTPIP", "HTTPPort"),
    "proxmox-clone": ("HTTPIP", "HTTPPort"),
    "qemu": ("HTTPIP", "HTTPPort", "Name"),
}


def _list_texts(case: Case) -> Iterator[tuple[str, str]]:
    """Yield what is typed; keys may be split over the strings of one list, so these are joined as Packer joins them."""
    texts = case.block.read_texts("boot_command")
    if texts and texts == case.block.get("boot_command"):
        yield "boot_command", "".join(texts)
    steps = case.block.get("boot_steps")
    for step in steps if isinstance(steps, tuple) else ():
        if isinstance(step, tuple) and step and isinstance(step[0], str):
            yield "boot_steps", step[0]


def find_unknown_keys(case: Case) -> Iterator[Finding]:
    """Yield ``<…>`` that is no key."""
    for name, text in _list_texts(case):
        for word in dict.fromkeys(_SPECIAL.findall(text)):
            if not _WAIT.fullmatch(word) and not _KEY.fullmatch(word):
                meant = "wait5" if word.lower().startswith("wait") else suggest(word, [*_KEYS, "wait"])
                fix = f"did you mean <{meant}>?" if meant else ""
                yield case.at(case.block, name, f"<{word}>", fix)


def find_unknown_names(case: Case) -> Iterator[Finding]:
    """Yield ``{{ .Name }}`` that stands for nothing."""
    names = _NAMES[case.source.kind]
    for setting, text in _list_texts(case):
        for word in dict.fromkeys(_NAMED.findall(text)):
            if word not in names:
                meant = suggest(word, names)
                fix = f"did you mean {{{{ .{meant} }}}}?" if meant else ""
                yield case.at(case.block, setting, f"{{{{ .{word} }}}}", fix)


RULES = (
    Rule(
        "boot-key", Level.ERROR, Subject.BOOT_COMMAND, ANY, find_unknown_keys,
        "it is typed as text, letter by letter, and the installer waits for ever",
        "a key such as <enter>, <esc>, <f10>, <wait5>, <leftCtrlOn>",
    ),
    Rule(
        "boot-name", Level.ERROR, Subject.BOOT_COMMAND, ANY, find_unknown_names,
        "the build ends when it begins to type", "{{ .HTTPIP }} and {{ .HTTPPort }}, for qemu {{ .Name }} as well",
    ),
)  # fmt: skip
