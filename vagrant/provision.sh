#!/bin/sh
# Make a builder of a Debian or Ubuntu VM: Nix with flakes, room on the disk, aarch64 on x86 too. Vagrant runs it as
# root on each start; a second run finds everything done. `provision.sh collect` only removes what nothing used for long.
set -eu

# Nix's own release; the digests are those in its installer (releases.nixos.org/nix/nix-2.31.2/install).
nix_version=2.31.2
nix_sha256_x86_64=d1f67c86eed016214864ba08bfb9529c307aea7e8fafb74853f96fcc3bfd8a60
nix_sha256_aarch64=64db528412096d718b4bf8f78f85e5ac2b714b774e5005500dee37d23f560456
oldest_nix=2.8

builder=${SUDO_USER:-vagrant}
store=${NIX_STORE_DIR:-/nix/store}
state=${NIX_STATE_DIR:-/nix/var/nix}
stamps=${IMAGEKIT_STAMPS:-/var/lib/imagekit}
keep_days=30
collect_days=7

say() { printf '%s\n' "$*"; }
fail() { printf 'provision.sh: %s\n' "$*" >&2; exit 1; }

# install_packages PROGRAM=PACKAGE…: what is missing only, so that a VM without network starts too.
install_packages() {
    missing=
    for pair in "$@"; do
        command -v "${pair%%=*}" >/dev/null 2>&1 || missing="$missing ${pair#*=}"
    done
    [ -n "$missing" ] || return 0
    say "Installing$missing"
    export DEBIAN_FRONTEND=noninteractive
    apt-get -qq update || fail "apt-get update failed: has the VM a network?"
    # The lock: a box's own first upgrade may be running. SC2086: names of packages, ours, one word each.
    # shellcheck disable=SC2086
    apt-get -qq -y -o DPkg::Lock::Timeout=300 --no-install-recommends install $missing >/dev/null || fail "cannot install$missing"
}

# The box's disk may be smaller than the VM's: let the root filesystem have the rest.
grow_root() {
    device=$(findmnt -n -o SOURCE /)
    type=$(findmnt -n -o FSTYPE /)
    [ "$type" = ext4 ] || return 0
    part=$device
    case $device in
        /dev/mapper/*)
            command -v pvs >/dev/null 2>&1 || return 0
            group=$(lvs --noheadings -o vg_name "$device" | tr -d ' ')
            part=$(pvs --noheadings -o pv_name -S "vg_name=$group" | tr -d ' ' | head -n 1)
            ;;
    esac
    disk=$(lsblk -n -d -o PKNAME "$part")
    number=$(cat "/sys/class/block/${part#/dev/}/partition" 2>/dev/null) || return 0
    [ -n "$disk" ] || return 0
    start=$(cat "/sys/class/block/${part#/dev/}/start")
    length=$(cat "/sys/class/block/${part#/dev/}/size")
    whole=$(cat "/sys/class/block/$disk/size")
    # 512-byte sectors: less than 1 GiB more is not worth it, and a partition behind this one would be in the way
    [ $((whole - start - length)) -gt 2097152 ] || return 0
    install_packages growpart=cloud-guest-utils
    growpart "/dev/$disk" "$number" || { say "note: $part cannot grow into the rest of the disk"; return 0; }
    if [ "$part" != "$device" ]; then
        pvresize "$part" >/dev/null
        lvextend -q -l +100%FREE "$device" >/dev/null
    fi
    resize2fs "$device" >/dev/null 2>&1
    say "The root filesystem has grown to $(df -h --output=size / | tail -n 1 | tr -d ' ')"
}

# Print the Nix that is there; Nix's own installer puts it where root's PATH does not look.
find_nix() {
    for candidate in nix /nix/var/nix/profiles/default/bin/nix; do
        command -v "$candidate" && return 0
    done
    return 1
}

install_nix() {
    if nix=$(find_nix); then
        version=$("$nix" --version | sed 's/^.* //')
        if [ "$(printf '%s\n' "$oldest_nix" "$version" | sort -V | head -n 1)" = "$oldest_nix" ]; then
            say "Nix $version is there"
            return 0
        fi
        fail "Nix $version is older than $oldest_nix: take another box, or remove it"
    fi
    case $(uname -m) in
        x86_64) sha256=$nix_sha256_x86_64 ;;
        aarch64) sha256=$nix_sha256_aarch64 ;;
        *) fail "there is no Nix for $(uname -m) here" ;;
    esac
    install_packages curl=curl xz=xz-utils
    name=nix-$nix_version-$(uname -m)-linux
    place=$(mktemp -d)
    chmod 755 "$place" # the installer runs as the builder
    say "Fetching Nix $nix_version"
    curl -fsSL --retry 3 -o "$place/nix.tar.xz" "https://releases.nixos.org/nix/nix-$nix_version/$name.tar.xz" ||
        fail "cannot fetch Nix: has the VM a network?"
    printf '%s  %s\n' "$sha256" "$place/nix.tar.xz" | sha256sum -c --status ||
        fail "what was fetched for Nix $nix_version is not what was pinned: nothing of it was run"
    tar -xJf "$place/nix.tar.xz" -C "$place"
    say "Installing Nix $nix_version"
    runuser -u "$builder" -- sh "$place/$name/install" --daemon --yes --no-channel-add >"$place/log" 2>&1 ||
        { tail -n 20 "$place/log" >&2; fail "Nix's installer failed"; }
    rm -rf "$place"
}

# aarch64 programs on an x86 VM: flag F has the kernel keep the interpreter open, so that Nix's sandbox need not have it.
emulate_aarch64() {
    [ "$(uname -m)" = x86_64 ] || return 0
    entry=/proc/sys/fs/binfmt_misc/qemu-aarch64
    if [ ! -e "$entry" ]; then
        install_packages qemu-aarch64-static=qemu-user-static
        systemctl restart systemd-binfmt.service 2>/dev/null || true
    fi
    [ -e "$entry" ] || { say "note: this VM cannot run aarch64 programs: no binfmt_misc"; return 0; }
    say "aarch64 programs run by $(sed -n 's/^interpreter //p' "$entry")"
}

# All settings are in one file that is written anew; nix.conf only names it, whoever made nix.conf.
configure_nix() {
    mkdir -p /etc/nix "$stamps"
    {
        echo "experimental-features = nix-command flakes"
        echo "trusted-users = root $builder"
        echo "max-jobs = auto"
        # Under 4 GiB free a build collects garbage until 16 GiB are: a full disk is what image builds die of.
        echo "min-free = 4294967296"
        echo "max-free = 17179869184"
        entry=/proc/sys/fs/binfmt_misc/qemu-aarch64
        if [ "$(uname -m)" = x86_64 ] && [ -e "$entry" ]; then
            echo "extra-platforms = aarch64-linux"
            grep -q '^flags:.*F' "$entry" || echo "extra-sandbox-paths = $(sed -n 's/^interpreter //p' "$entry")"
        fi
    } >/etc/nix/imagekit.conf.new
    [ -e /etc/nix/nix.conf ] || : >/etc/nix/nix.conf
    named=$(grep -c '^!include imagekit.conf$' /etc/nix/nix.conf) || true
    if cmp -s /etc/nix/imagekit.conf.new /etc/nix/imagekit.conf && [ "$named" = 1 ]; then
        rm /etc/nix/imagekit.conf.new
    else
        mv /etc/nix/imagekit.conf.new /etc/nix/imagekit.conf
        [ "$named" = 1 ] || printf '\n!include imagekit.conf\n' >>/etc/nix/nix.conf
        systemctl restart nix-daemon.service 2>/dev/null || true
    fi
    systemctl enable -q --now nix-daemon.socket 2>/dev/null || true
    # Debian's own Nix lets only this group speak to the daemon.
    if getent group nix-users >/dev/null && ! id -nG "$builder" | grep -qw nix-users; then
        usermod -aG nix-users "$builder"
    fi
}

# Nix's collector knows no age: it removes whatever no root holds, and with it all that the next build needs. So what
# came within the last 30 days (the inode's ctime; mtime is always 1970) is held while it runs, at most once a week.
collect_garbage() {
    mkdir -p "$stamps"
    [ -z "$(find "$stamps/collected" -mtime -$collect_days 2>/dev/null)" ] || return 0
    nix=$(find_nix) && [ -d "$store" ] || return 0
    roots=$state/gcroots/imagekit-recent
    rm -rf "$roots"
    mkdir -p "$roots"
    find "$store" -mindepth 1 -maxdepth 1 -ctime -$keep_days ! -name '.*' ! -name '*.lock' \
        -exec ln -s -t "$roots" {} +
    "$(dirname "$nix")/nix-store" --gc 2>&1 | tail -n 1
    rm -rf "$roots"
    touch "$stamps/collected"
}

case ${1:-all} in
    collect) collect_garbage ;;
    all)
        [ "$(id -u)" = 0 ] || fail "to be run as root"
        grow_root
        install_nix
        emulate_aarch64
        configure_nix
        collect_garbage
        say "The builder is ready"
        ;;
    *) fail "what is $1?" ;;
esac
