"""The dead man's switch: a shell script on the target that switches, waits for our word, and goes back without it.

It is detached before anything changes and needs nobody afterwards: not imagekit, not the connection, not the network.
The new system is only *activated* at first (``switch-to-configuration test``); profile and boot menu are written after
the word came, so that even a power cut or a hanging kernel ends in the old system.

Its directory holds ``state`` (a word and a reason), ``log`` (what the switch said), ``old``, ``new`` and ``pid``;
``confirm`` and ``abort``, made by us, are the two words it listens to. It alone decides: of a confirmation that comes
too late nothing follows but the state ``rolled-back``.

Sources: nixos-rebuild's nix.py (profile first, then systemd-run for the switch), nix-env(1), setsid(1),
systemd-run(1). ``NIXOS_INSTALL_BOOTLOADER`` empty is what nixos-rebuild gives: menu entries, not a new loader.
"""

# Arguments: directory, new system, old system, profile, nix-env, seconds for a switch, seconds until our word.
# Seconds are counted by sleeping: a Pi has no clock of its own, and its time may jump while a system is activated.
SCRIPT = r"""
dir=$1 new=$2 old=$3 profile=$4 nix_env=$5 limit=$6 patience=$7
trap '' HUP
cd / || exit 1
umask 077
export NIXOS_INSTALL_BOOTLOADER=
say() { printf '%s\n' "$*" > "$dir/state.new" && mv -f "$dir/state.new" "$dir/state"; }
number() { readlink "$profile" | sed -n 's/.*-\([0-9][0-9]*\)-link$/\1/p'; }

# Run a system's switch in a session of its own, and end it when it takes too long: it would hold the lock.
activate() {
    setsid "$1/bin/switch-to-configuration" "$2" >> "$dir/log" 2>&1 < /dev/null &
    child=$! left=$limit
    while kill -0 "$child" 2> /dev/null; do
        if [ "$left" -le 0 ]; then
            kill -TERM "-$child" 2> /dev/null
            sleep 3
            kill -KILL "-$child" 2> /dev/null
            wait "$child"
            return 124
        fi
        sleep 1
        left=$((left - 1))
    done
    wait "$child"
}

roll_back() {
    why=$1
    say "rolling-back $why"
    activate "$old" test
    status=$?
    if [ "$committing" = yes ]; then
        restore_profile
        activate "$old" boot || why="$why; nor could the old one be written again"
    fi
    # 4: units failed that may have failed before; the system is the old one all the same (switch-to-configuration).
    case $status in
    0 | 4) say "rolled-back $why" ;;
    *) say "stuck status $status of the old system's switch, after: $why" ;;
    esac
    exit 0 # its unit did its work: it shall not be among those that failed
}

restore_profile() {
    made=$(number)
    if [ -n "$before" ] && [ "$made" != "$before" ]; then
        "$nix_env" -p "$profile" --switch-generation "$before" >> "$dir/log" 2>&1 &&
            "$nix_env" -p "$profile" --delete-generations "$made" >> "$dir/log" 2>&1
    elif [ -z "$before" ]; then
        "$nix_env" -p "$profile" --set "$old" >> "$dir/log" 2>&1
    fi
}

committing=no
before=$(number)
printf '%s\n' "$$" > "$dir/pid"
say switching
activate "$new" test
status=$?
case $status in
0) say switched ;;
124) roll_back "the switch did not end within $limit s" ;;
*) roll_back "the switch ended with status $status" ;;
esac

left=$patience
while [ ! -e "$dir/confirm" ]; do
    if [ -e "$dir/abort" ]; then roll_back "it was told to"; fi
    if [ "$left" -le 0 ]; then roll_back "nobody confirmed within $patience s"; fi
    sleep 1
    left=$((left - 1))
done

committing=yes
say committing
"$nix_env" -p "$profile" --set "$new" >> "$dir/log" 2>&1 || roll_back "the profile could not be set"
activate "$new" boot || roll_back "the boot menu could not be written"
say committed
"""

# Arguments: directory, old system, new system, gc root. Reads the watchdog from standard input. Says "busy STATE" when
# another deployment is under way, and "left STATE" when one was that nobody ended; then the directory is ours.
PREPARE = r"""
set -eu
dir=$1 old=$2 new=$3 root=$4
umask 077
said=
if [ -e "$dir" ]; then
    said=$(head -c 300 "$dir/state" 2> /dev/null || true)
    pid=$(head -c 20 "$dir/pid" 2> /dev/null || true)
    case $said in committed* | rolled-back* | stuck*) pid=ended ;; esac  # whatever has its number now
    if [ -z "$pid" ] && [ -n "$(find "$dir" -maxdepth 0 -mmin -2)" ]; then printf 'busy starting\n'; exit 0; fi
    case $pid in *[!0-9]* | '') ;; *)
        if kill -0 "$pid" 2> /dev/null; then printf 'busy %s\n' "$said"; exit 0; fi ;;
    esac
    rm -rf "$dir"
fi
mkdir "$dir" 2> /dev/null || { printf 'busy starting\n'; exit 0; }
cat > "$dir/watchdog"
printf '%s\n' "$old" > "$dir/old"
printf '%s\n' "$new" > "$dir/new"
: > "$dir/log"
ln -sfn "$new" "$root"
printf 'left %s\n' "$said"
"""

# Arguments: directory, unit's name, PATH, then the watchdog's own. A transient unit outlives the login; where no
# systemd runs, a session of its own does.
LAUNCH = r"""
dir=$1 unit=$2 path=$3
shift 3
if [ -d /run/systemd/system ] && command -v systemd-run > /dev/null; then
    exec systemd-run --collect --quiet --no-ask-password --unit "$unit" --setenv "PATH=$path" \
        --setenv "LOCALE_ARCHIVE=${LOCALE_ARCHIVE:-/run/current-system/sw/lib/locale/locale-archive}" \
        -- /bin/sh "$dir/watchdog" "$@"
fi
PATH=$path:$PATH setsid -f /bin/sh "$dir/watchdog" "$@" < /dev/null >> "$dir/log" 2>&1
"""

# Arguments: directory. The state in the first line, then the end of what the switch said; 3 before it said anything.
LOOK = r"""
[ -d "$1" ] || exit 4
head -c 300 "$1/state" 2> /dev/null || exit 3
echo
tail -n 12 "$1/log" 2> /dev/null | head -c 3000
"""

# Arguments: directory, gc root: what PREPARE made, when nothing was started.
CLEAR = r"""rm -rf "$1" "$2" """

# Arguments: directory, word.
TELL = r""": > "$1/$2" """

# Arguments: directory, gc root. Only what is decided is removed.
TIDY = r"""
case $(head -c 300 "$1/state" 2> /dev/null) in committed* | rolled-back* | stuck*) rm -rf "$1" "$2" ;; esac
"""
