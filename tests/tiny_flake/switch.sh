#!/bin/sh
# NixOS's switch-to-configuration in miniature: no systemd, the same words, and a trace of each call.
#
# TINY_STATE is a directory: "switched" gets a line for each call, "current-system" is what runs, and "on-switch",
# where a test has put one, starts and stops what the system is to do: it gets the action and the system's path.
state=${TINY_STATE:-/run/tiny-state}
mkdir -p "$state" || exit 1
printf '%s %s\n' "${1:-}" "@out@" >> "$state/switched"
case ${1:-} in
switch | test) ln -sfn "@out@" "$state/current-system" ;;
boot | dry-activate) ;;
*)
    echo "Usage: @out@/bin/switch-to-configuration [switch|boot|test|dry-activate]" >&2
    exit 1
    ;;
esac
echo "activating the configuration..." >&2
if [ -x "$state/on-switch" ]; then "$state/on-switch" "$1" "@out@" || exit; fi
if [ "@status@" -ne 0 ]; then echo "warning: the following units failed: docker-pihole.service" >&2; fi
exit "@status@"
