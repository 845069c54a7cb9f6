"""Why Nix failed, in plain words: what it says, old and new wordings, becomes a sentence, a hint and an exit code.

The first rule that fits wins, so causes stand before their consequences: a full disk before the builder that ended with
status 1 for it, and that one before the derivations that depended on it. What no rule knows keeps Nix's own words.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from imagekit.build.nix.internal_json import NixLog, name_derivation
from imagekit.errors import DefinitionInvalid, HostFailed, ImagekitError, ToolFailed
from imagekit.machine.serial import clean_text

_LONGEST = 300
_LONGEST_TEXT = 8000
_MOST_TEXTS = 16
_DETAIL_LINES = 25
_KEYS_HINT = "give the image a key to log in with: ssh_keys in its [site] table"


@dataclass(frozen=True, slots=True)
class _Rule:
    """``said`` is looked for in Nix's messages, and in the end of the builder's log where ``in_log`` says so.

    In sentence and hint ``{host}`` is the machine, other names are groups of the pattern, None for one without a match.
    """

    said: re.Pattern[str]
    kind: Callable[..., ImagekitError]
    sentence: str
    hint: str
    in_log: bool = False


def _rule(said: str, kind: Callable[..., ImagekitError], sentence: str, hint: str, *, in_log: bool = False) -> _Rule:
    return _Rule(re.compile(said, re.DOTALL), kind, sentence, hint, in_log)


_SYSTEM_HINT = (
    "build on a machine of that system, or let this one do it: binfmt and extra-platforms, or a line in its builders"
)
_RULES = (
    # Nix itself, and who may use it
    _rule(
        r"experimental Nix feature '[^']{1,40}' is disabled|unrecognised flag '--extra-experimental-features'",
        ToolFailed,
        "Nix on {host} does not let flakes be used",
        "Nix 2.4 or newer is needed; in nix.conf there: experimental-features = nix-command flakes",
    ),
    _rule(
        r"is not allowed to connect to the Nix daemon|(?:daemon-socket/socket'?|big-lock\"?'?): Permission denied",
        HostFailed,
        "this user may not use Nix on {host}",
        "allowed-users in nix.conf there names who may; Debian also wants the group nix-users",
    ),
    _rule(
        r"cannot connect to (?:socket|daemon) at|cannot open connection to remote store 'daemon'",
        HostFailed,
        "the Nix daemon on {host} does not answer",
        "see whether it runs: systemctl status nix-daemon",
    ),
    _rule(
        r"lacks a (?:valid )?signature|is a restricted setting and you are not a trusted user",
        HostFailed,
        "{host} does not take what this user brings, because no key that it trusts signed it",
        "add the user to trusted-users in nix.conf there, or build there instead of copying",
    ),
    # space and memory
    _rule(
        r"No space left on device while (?:populating|looking up)",
        ToolFailed,
        "the filesystem in the image was made too small for what goes onto it",
        "the flake computes its size, and the estimate fell short: leave more room there",
        in_log=True,
    ),
    _rule(
        r"No space left on device|database or disk is full|lack of free disk space|Disk quota exceeded",
        HostFailed,
        "the disk of {host} is full",
        "make room there, with nix-collect-garbage for one; an image needs about three times its size while it is made",
        in_log=True,
    ),
    _rule(
        r"out of memory|Cannot allocate memory|std::bad_alloc|failed due to signal 9\b|"
        r"builder failed with exit code 137",
        HostFailed,
        "memory ran out on {host}, or somebody ended the build there",
        "give it more memory or swap, or let Nix do less at once: max-jobs = 1 in nix.conf there",
        in_log=True,
    ),
    # the flake
    _rule(
        r"requires lock file changes|cannot write modified lock file|lock file [^\n]{0,400}needs to be updated|"
        r"cannot update (?:unlocked )?flake input",
        DefinitionInvalid,
        "flake.lock does not fit flake.nix",
        "run imagekit update, or nix flake lock in the flake's directory",
    ),
    _rule(
        r"json\.exception\.parse_error|while parsing the lock file|lock file '[^']{1,400}' (?:is not|has unsupported)",
        DefinitionInvalid,
        "flake.lock cannot be read",
        "take it back from git, or make it anew with nix flake lock",
    ),
    _rule(
        r"is not owned by current user|detected dubious ownership|Not a git repository\. Use --no-index",
        ToolFailed,
        "git does not read a work tree that belongs to another user",
        "build as its owner, or hand the directory over with chown",
    ),
    _rule(
        r"option [`'](?P<option>[^'\n]{1,400})' does not exist"
        r"(?:\. Definition values:\s+- In [`'](?P<file>[^'\n]{1,400})')?",
        DefinitionInvalid,
        "NixOS has no option {option} (set in {file})",
        "it may be from another release: see search.nixos.org/options, and which nixpkgs flake.lock has",
    ),
    _rule(
        r"NAR hash mismatch in input '(?P<what>[^']{1,400})'.{0,2000}?"
        r"expected '(?P<wanted>[^']{1,400})', got '(?P<got>[^']{1,400})'",
        ToolFailed,
        "{what} is not what flake.lock says: it has the hash {got} instead of {wanted}",
        "a damaged download, or a source that was changed after it was locked: look before you run imagekit update",
    ),
    _rule(
        r"hash mismatch in (?:fixed-output derivation|file downloaded from)(?: '(?P<drv>[^']{1,400})')?:?\s+"
        r"(?:likely URL: \S+\s+)?(?:specified|wanted):\s*(?P<wanted>\S+)\s+got:\s*(?P<got>\S+)",
        ToolFailed,
        "{drv} is not what was locked: it has the hash {got} instead of {wanted}",
        "a damaged download, or a source that was changed after it was locked: look before you run imagekit update",
    ),
    # which machine builds
    _rule(
        r"a '(?P<need>[^']{1,400})' with features \{[^}]{0,400}\} is required to build '[^']{1,400}', "
        r"but I am a '(?P<have>(?!(?P=need)')[^']{1,400})'",
        HostFailed,
        "{host} does not build for {need}: it is {have}",
        _SYSTEM_HINT,
    ),
    _rule(
        r"Required system: '(?P<need>[^']{1,400})'.{0,2000}?Current system: '(?P<have>(?!(?P=need)')[^']{1,400})'",
        HostFailed,
        "{host} does not build for {need}: it is {have}",
        _SYSTEM_HINT,
    ),
    _rule(
        r"a '[^']{1,400}' with features \{(?P<need>[^}]{0,400})\} is required to build|"
        r"Required system: '[^']{1,400}' with features \{(?P<need2>[^}]{0,400})\}|"
        r"Required features: \{(?P<need3>[^}]{0,400})\}",
        HostFailed,
        "{host} lacks what a derivation asks for: {need}{need2}{need3}",
        "system-features in nix.conf there says what it has; kvm needs /dev/kvm",
    ),
    _rule(
        r"Failed to find a machine for remote build|[Uu]nable to start any build",
        HostFailed,
        "none of the remote machines that Nix on {host} knows can build this",
        "see builders in nix.conf there: the machine must be reachable for the daemon's user, and of the right system",
    ),
    _rule(
        r"cannot open connection to remote store '(?P<store>[^']{1,400})'|"
        r"failed to start SSH connection to '(?P<store2>[^']{1,400})'",
        HostFailed,
        "{host} cannot reach the store {store}{store2}",
        "try it by hand with ssh: the host must be known and the key accepted without a question",
    ),
    # the network
    _rule(
        r"unable to download '': URL using bad",  # Nix 2.8, without a registry
        DefinitionInvalid,
        "the flake has an input without a place to get it from",
        "give it a url in flake.nix, and run nix flake lock",
    ),
    _rule(
        r"unable to download '(?P<url>[^']{0,400})': HTTP error 4(?:03|29)",
        HostFailed,
        "{url} refuses {host}: too many requests, or it wants a token",
        "wait an hour, or set access-tokens in nix.conf there",
    ),
    _rule(
        r"unable to download '(?P<url>[^']{0,400})': (?P<why>[^\n;]{0,400})",
        HostFailed,
        "{host} cannot download {url}: {why}",
        "see whether that machine reaches the network; behind a proxy the Nix daemon needs https_proxy too",
    ),
    _rule(
        r"(?P<why>Could not resolve host[^\n;]{0,400}|Failed to connect to [^\n;]{0,400}|"
        r"unable to access '[^\n]{0,400})",
        HostFailed,
        "{host} has no way to a source: {why}",
        "see whether that machine reaches the network; behind a proxy the Nix daemon needs https_proxy too",
    ),
    # the build
    _rule(
        r"may not be deterministic: output '(?P<out>[^']{1,400})'",
        ToolFailed,
        "{out} comes out differently when it is built again",
        "imagekit build --verify-rebuild says where the two differ",
    ),
    _rule(
        r"some outputs of '(?P<drv>[^']{1,400})' are not valid, so checking is not possible",
        ToolFailed,
        "{drv} was not built on {host} yet, so nothing can be compared",
        "build it once without --verify-rebuild",
    ),
    _rule(
        r"(?:builder for '(?P<drv>[^']{1,400})' failed|"
        r"Cannot build '(?P<drv2>[^']{1,400})'\.\s+Reason: builder failed) "
        r"(?P<how>with exit code \d+|due to signal \d+(?: \([^)]{1,40}\))?|to produce output path)",
        ToolFailed,
        "{drv}{drv2} could not be built: its builder failed {how}",
        "all of its log: nix log {path}",
    ),
    _rule(
        r"building of '(?P<drv>[^']{1,400})'(?: from \.drv file)? timed out after (?P<time>[^\n]{1,100})|"
        r"Cannot build '(?P<drv2>[^']{1,400})'\.\s+Reason: timed out after (?P<time2>[^\n]{1,100})",
        ToolFailed,
        "{drv}{drv2} could not be built: no end, or no sign of life, after {time}{time2}",
        "raise timeout or max-silent-time in nix.conf on {host}",
    ),
    _rule(
        r"dependencies of derivation '(?P<drv>[^']{1,400})' failed|"
        r"Cannot build '(?P<drv2>[^']{1,400})'\.\s+Reason: \d+ dependenc(?:y|ies) failed",
        ToolFailed,
        "{drv}{drv2} could not be built, because something it needs could not",
        "all of its log: nix log {path}",
    ),
    # its end
    _rule(
        r"interrupted by the user|error: interrupted",
        ToolFailed,
        "Nix was interrupted on {host}",
        "run the same command again: what was built is still there",
    ),
    _rule(
        r"unexpected end-of-file|Connection reset by peer|Broken pipe|closed by remote host|"
        r"client_loop: send disconnect",
        HostFailed,
        "a connection of Nix on {host} broke off",
        "run the same command again: what was built is still there",
    ),
)

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
    said, log = "\n".join(texts), "\n".join(clean_text(line) for line in log_tail)
    for explain in (_explain_assertions, _explain_attribute):
        if error := explain(said):
            return error
    for rule in _RULES:
        if match := rule.said.search(said):
            return _apply(rule, match, log or said, host)
        if rule.in_log and (match := rule.said.search(log)):
            return _apply(rule, match, log, host, _find_line(match))
    return (
        _explain_missing(said)
        or _explain_evaluation(texts)
        or _explain_rest(texts, log, status, f"{host}, building for {system}" if system else host)
    )


def _apply(rule: _Rule, match: re.Match[str], detail: str, host: str, line: str = "") -> ImagekitError:
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
    return DefinitionInvalid(f"the flake has no {(tried or ['such attribute'])[0]}", hint=hint)


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
