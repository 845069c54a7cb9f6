"""What Nix says when it fails, and what that means: a table of patterns, sentences and hints.

Their order counts, see :mod:`imagekit.build.nix.failure`. Wordings are those of Nix 2.8 up to the current one.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass

from imagekit.errors import DefinitionInvalid, HostFailed, ImagekitError, ToolFailed


@dataclass(frozen=True, slots=True)
class Rule:
    """``said`` is looked for in Nix's messages, and in the end of the builder's log where ``in_log`` says so.

    In sentence and hint ``{host}`` is the machine, other names are groups of the pattern, None for one without a match.
    """

    said: re.Pattern[str]
    kind: Callable[..., ImagekitError]
    sentence: str
    hint: str
    in_log: bool = False


def _rule(said: str, kind: Callable[..., ImagekitError], sentence: str, hint: str, *, in_log: bool = False) -> Rule:
    return Rule(re.compile(said, re.DOTALL), kind, sentence, hint, in_log)


_SYSTEM_HINT = (
    "build on a machine of that system, or let this one do it: binfmt and extra-platforms, or a line in its builders"
)
RULES = (
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
