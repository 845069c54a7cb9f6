"""Why Nix failed, in plain words: what it says, old and new wordings, becomes a sentence, a hint and an exit code.

The first rule that fits wins, so causes stand before their consequences: a full disk before the builder that ended with
status 1 for it, and that one before the derivations that depended on it. What no rule knows keeps Nix's own words.
"""

import re
from collections.abc import Sequence

from imagekit.build.nix.failure_rules import RULES, Rule
from imagekit.build.nix.internal_json import NixLog, name_derivation
from imagekit.errors import DefinitionInvalid, ImagekitError, ToolFailed
from imagekit.machine.serial import clean_text

_LONGEST = 300
_LONGEST_TEXT = 8000
_MOST_TEXTS = 16
_DETAIL_LINES = 25
_KEYS_HINT = "give the image a key to log in with: ssh_keys in its [site] table"


_ASSERTIONS = re.compile(r"Failed assertions:\n(?P<list>.*)", re.DOTALL)
_ATTRIBUTE = re.compile(
    r"flake '(?P<flake>[^']{1,1000})' does not provide attribute '?(?P<tried>.{0,2000}?)(?:\n|$)(?P<rest>.*)", re.DOTALL
)
_MEANT = re.compile(r"Did you mean ([^\n?]+)\?")
_MISSING_FILE = re.compile(
    r"(?:getting status of '|opening file '|path ')(?P<path>/[^'\n]+)'(?:: No such file| does not exist)"
)
_INDIRECT = re.compile(r"cannot find flake '(?:flake:)?([^']+)' in the flake registries")
_PLACE = re.compile(r"\bat (?P<file>/[^\s:]+):(?P<line>\d{1,7}):\d{1,5}:")
_SOURCE = re.compile(r"^/\S+?/[0-9a-df-np-sv-z]{32}-source/")
_OUTPUTS = re.compile(r"[!^][\w,*-]+$")  # a derivation with the names of its outputs: x.drv!out, newer x.drv^out
# A cache that cannot be reached is passed over: it is no cause when a builder failed by itself.
_FROM_CACHE = re.compile(r"unable to download '[^']{0,400}/(?:nix-cache-info|[0-9a-z]{32}\.narinfo)'")
_BUILDER_FAILED = re.compile(r"builder for '[^']{1,400}' failed|Reason: builder failed")
_TRACE = re.compile(r"^\s*(?:…|at /|\d+\||\||\(stack trace)")


def explain_failure(log: NixLog, status: int, host: str, system: str = "") -> ImagekitError:
    """Return the error to raise for a Nix whose ``log`` was heard to its end.

    ``status`` is its exit status, negative for a signal, ``host`` the machine's name for sentences, ``system``
    what was built for. What programs that Nix started said, ssh and git, counts after Nix's own words.
    """
    return explain_messages([*log.errors, *log.said], log.list_log_tail(), status, host, system)


def explain_messages(
    messages: Sequence[str], log_tail: Sequence[str], status: int, host: str, system: str = ""
) -> ImagekitError:
    """Return the error for what Nix said: its errors in its own words, and the end of the failed builder's log."""
    texts = [_strip(_shorten(text)) for text in messages[:_MOST_TEXTS]]
    if any(_BUILDER_FAILED.search(text) for text in texts):
        texts = [text for text in texts if not _FROM_CACHE.search(text)]
    said, log = "\n".join(texts), "\n".join(clean_text(line) for line in log_tail)
    for explain in (_explain_assertions, _explain_attribute):
        if error := explain(said):
            return error
    for rule in RULES:
        if match := rule.said.search(said):
            return _apply(rule, match, log or said, host)
        if rule.in_log and (match := rule.said.search(log)):
            return _apply(rule, match, log, host, _find_line(match))
    return (
        _explain_missing(said)
        or _explain_evaluation(texts)
        or _explain_rest(texts, log, status, f"{host}, building for {system}" if system else host)
    )


def _apply(rule: Rule, match: re.Match[str], detail: str, host: str, line: str = "") -> ImagekitError:
    groups = {name: value or "" for name, value in match.groupdict().items()}
    groups |= {name: _OUTPUTS.sub("", value) for name, value in groups.items() if name.startswith("drv")}
    path = groups.get("drv") or groups.get("drv2") or ""
    words = {name: name_derivation(value) if name.startswith("drv") else value for name, value in groups.items()}
    words = {name: " ".join(value.split())[:_LONGEST] for name, value in words.items()}
    if "file" in words:
        words["file"] = _SOURCE.sub("", words["file"]) or "one of its modules"
    sentence = rule.sentence.format(host=host, path=path, **words)
    hint = rule.hint.format(host=host, path=path, **words)
    if rule.kind is ToolFailed:
        return ToolFailed(sentence, detail=_join(detail.splitlines()), hint=hint)
    return rule.kind(f"{sentence}: {line}" if line else sentence, hint=hint)


def _find_line(match: re.Match[str]) -> str:
    """Return the whole line around a match, without the mark of a quoted log."""
    start = match.string.rfind("\n", 0, match.start()) + 1
    end = match.string.find("\n", match.end())
    return match.string[start : end if end >= 0 else None].strip().removeprefix("> ").strip()[:_LONGEST]


def _explain_assertions(said: str) -> ImagekitError | None:
    """Return the list of assertions that NixOS found broken (nixpkgs, nixos/modules/system/activation)."""
    match = _ASSERTIONS.search(said)
    if match is None:
        return None
    problems: list[str] = []
    for line in match.group("list").splitlines():
        text = line.strip()
        if text.startswith("- "):
            problems.append(text[2:])
        elif text and problems and not _TRACE.match(line):
            problems[-1] += f" {text}"
    keyless = any("SSH authorized key" in problem for problem in problems)
    problems = [problem[: 2 * _LONGEST] for problem in problems]
    return DefinitionInvalid(
        "NixOS refuses this configuration", problems=problems, hint=_KEYS_HINT if keyless else "correct what it names"
    )


def _explain_attribute(said: str) -> ImagekitError | None:
    match = _ATTRIBUTE.search(said)
    if match is None:
        return None
    tried = re.findall(r"[\w.+@-]+", match.group("tried").replace(" or ", " "))
    meant = _MEANT.search(match.group("rest"))
    hint = f"did you mean {meant.group(1).strip()}?" if meant else "nix flake show lists what it has"
    # Nix tries packages.SYSTEM.x, legacyPackages.SYSTEM.x and x itself, which is what was asked for, last
    return DefinitionInvalid(f"the flake has no {(tried or ['such attribute'])[-1]}", hint=hint)


def _explain_missing(said: str) -> ImagekitError | None:
    """Return what to say of a file that is not in the flake's copy, or of a flake that is not there."""
    if match := _INDIRECT.search(said):
        return DefinitionInvalid(
            f"the flake has an input {match.group(1)} without a place to get it from",
            hint="give it a url in flake.nix, and run nix flake lock",
        )
    match = _MISSING_FILE.search(said)
    if match is None:
        return None
    path = match.group("path")
    if (inside := _SOURCE.sub("", path)) == path:
        return DefinitionInvalid(f"{path} does not exist", hint="the flake refers to a file that is not there")
    if inside == "flake.nix":
        return DefinitionInvalid("the directory holds no flake.nix", hint="name the directory that does")
    return DefinitionInvalid(
        f"the flake refers to {inside}, which is not in it",
        hint="a file that .gitignore names does not become part of the flake, and neither does one that is outside it",
    )


def _explain_evaluation(texts: Sequence[str]) -> ImagekitError | None:
    """Return the error of an evaluation with its place, the innermost one in the flake itself."""
    for text in texts:
        places = list(_PLACE.finditer(text))
        if not places:
            continue
        own = [each for each in places if _SOURCE.match(each.group("file"))]
        last = (own or places)[-1]
        cause = _strip(re.split(r"(?:^|\n)\s*error:", text)[-1])
        cause = _join([line for line in cause.splitlines() if not _TRACE.match(line)], " ")[:_LONGEST]
        where = f"{_SOURCE.sub('', last.group('file'))}:{last.group('line')}"
        return DefinitionInvalid(f"the flake cannot be evaluated, {where}: {cause}", hint="correct it there")
    return None


def _explain_rest(texts: Sequence[str], log: str, status: int, host: str) -> ImagekitError:
    how = f"was killed by signal {-status}" if status < 0 else f"failed with status {status}"
    first = next((" ".join(line for line in text.splitlines() if line.strip())[:_LONGEST] for text in texts), "")
    detail = _join([*"\n".join(texts).splitlines(), *log.splitlines()])
    return ToolFailed(f"Nix {how} on {host}" + (f": {' '.join(first.split())}" if first else ""), detail=detail)


def _strip(text: str) -> str:
    """Return a message without control characters and without the word error in front."""
    return clean_text(text).strip().removeprefix("error:").strip()


def _shorten(text: str) -> str:
    """Return a long text without its middle: Nix's traces have the cause at the end, all else has it in front."""
    return text if len(text) <= 2 * _LONGEST_TEXT else f"{text[:_LONGEST_TEXT]}\n{text[-_LONGEST_TEXT:]}"


def _join(lines: Sequence[str], by: str = "\n") -> str:
    return by.join(line.strip() for line in lines if line.strip()) if by == " " else by.join(lines[-_DETAIL_LINES:])
