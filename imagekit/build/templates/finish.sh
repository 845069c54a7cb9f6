#!/bin/sh
# Turns an installed root into a template: what the definition adds, then nothing that belongs to one machine.
#   finish.sh ROOT ADDITIONS.tar UNITS USERS DEBS
# Runs as a customize hook, inside the build's namespaces, where ROOT may be chrooted into.
set -eu
root=$1 additions=$2 units=$3 users=$4 debs=$5

# Package files that the operator brings; Debian has none of them.
for deb in "$debs"/*.deb; do
  [ -e "$deb" ] || continue
  cp "$deb" "$root/tmp/extra.deb"
  chroot "$root" dpkg --install /tmp/extra.deb
  rm "$root/tmp/extra.deb"
done

# name:shell:group,group
for user in $users; do
  name=${user%%:*} rest=${user#*:}
  shell=${rest%%:*} groups=${rest#*:}
  chroot "$root" useradd --create-home --user-group --shell "$shell" ${groups:+--groups "$groups"} --password '*' "$name"
done

# What packages and builds leave behind, before the operator's own files come: those may be /root/.ssh.
rm -rf "$root"/var/lib/cloud "$root"/var/log/installer "$root"/root/.ssh "$root"/root/.bash_history "$root"/var/tmp/*
chroot "$root" tar --extract --file - --directory / --no-overwrite-dir < "$additions"
if [ -n "$units" ]; then
  # Links only: there is no running systemd in here.
  chroot "$root" systemctl --quiet enable $units
fi

# In a clone, grub's own upgrades write the loader anew where this image starts from: EFI/BOOT, not only EFI/debian.
mkdir -p "$root/boot/grub" "$root/boot/efi"
for package in grub-efi-amd64 grub-efi-arm64; do
  [ ! -e "$root/var/lib/dpkg/info/$package.list" ] ||
    echo "$package grub2/force_efi_extra_removable boolean true" | chroot "$root" debconf-set-selections
done

# Nothing of the builder, nothing that two clones would share.
rm -f "$root"/etc/ssh/ssh_host_* "$root/var/lib/dbus/machine-id" "$root/var/lib/systemd/random-seed" \
  "$root/etc/apt/apt.conf.d/99mmdebstrap" "$root/etc/dpkg/dpkg.cfg.d/99mmdebstrap" \
  "$root/etc/apt/sources.list.d/0000sources.list" "$root"/etc/apt/trusted.gpg.d/*mmdebstrap* \
  "$root"/etc/passwd- "$root"/etc/group- "$root"/etc/shadow- "$root"/etc/gshadow- "$root"/etc/subuid- "$root"/etc/subgid- \
  "$root"/var/cache/debconf/*-old "$root"/var/lib/dpkg/*-old "$root/initrd.img.old" "$root/vmlinuz.old" \
  "$root"/var/lib/ucf/hashfile.[0-9]* "$root"/var/lib/ucf/registry.[0-9]*
find "$root/var/log" -type f -exec truncate --size 0 {} +
find "$root/var/cache/apt" "$root/var/lib/apt/lists" -type f -delete
: > "$root/etc/machine-id"
ln -sf ../run/systemd/resolve/stub-resolv.conf "$root/etc/resolv.conf"
