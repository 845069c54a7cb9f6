#!/bin/sh
# The classic way to a cloud template, as scripts in the field do it: debootstrap, apt in the chroot, then a disk file
# through loop devices and mounts. Runs as root in a mount namespace of its own, so that no mount outlives it.
#
#   debootstrap.sh WORK MIRROR SUITE SIZE_MIB ESP_MIB
#
# WORK holds `packages` (one name per line), `sources.list` and `cache/` (package files); the result is WORK/disk.raw.
# It is given what makes it fast and what the others do too: unsafe I/O for dpkg, minbase, no recommended packages.
set -eu
work=$1 mirror=$2 suite=$3 size=$4 esp=$5
root=$work/root disk=$work/disk.raw target=$work/mnt
loops=''

cleanup() {
  status=$?
  trap - EXIT INT TERM
  for place in "$target/boot/efi" "$target" "$root/var/cache/apt/archives" "$root/dev" "$root/sys" "$root/proc"; do
    if mountpoint -q "$place"; then umount -R "$place" || umount -R -l "$place"; fi
  done
  for loop in $loops; do losetup --detach "$loop" || true; done
  exit "$status"
}
trap cleanup EXIT
trap 'exit 143' TERM
trap 'exit 130' INT

export DEBIAN_FRONTEND=noninteractive LC_ALL=C.UTF-8
mkdir -p "$root/etc/dpkg/dpkg.cfg.d" "$target" "$work/cache/partial"
echo force-unsafe-io > "$root/etc/dpkg/dpkg.cfg.d/unsafe-io"
debootstrap --variant=minbase --cache-dir="$work/cache" "$suite" "$root" "$mirror"

cp "$work/sources.list" "$root/etc/apt/sources.list"
printf '#!/bin/sh\nexit 101\n' > "$root/usr/sbin/policy-rc.d"
chmod 755 "$root/usr/sbin/policy-rc.d"
mount -t proc proc "$root/proc"
mount --rbind /sys "$root/sys"
mount --rbind /dev "$root/dev"
mount --bind "$work/cache" "$root/var/cache/apt/archives"
chroot "$root" apt-get -q -o APT::Sandbox::User= update
xargs chroot "$root" apt-get -q -o APT::Sandbox::User= -y --no-install-recommends install < "$work/packages"
umount "$root/var/cache/apt/archives"
umount -R "$root/dev" "$root/sys" "$root/proc"
rm -rf "$root/usr/sbin/policy-rc.d" "$root/etc/dpkg/dpkg.cfg.d/unsafe-io" "$root/etc/machine-id" "$root"/etc/ssh/ssh_host_*
rm -rf "$root"/var/lib/apt/lists/* "$root"/var/cache/apt/*.bin
: > "$root/etc/machine-id"

truncate -s "${size}M" "$disk"
sfdisk -q "$disk" <<END
label: gpt
start=1MiB, size=${esp}MiB, type=U
start=$((esp + 1))MiB, size=$((size - esp - 2))MiB, type=L
END
# One device for each partition: no wait for the kernel to find them on one of the whole disk.
attach() { losetup --find --show --offset "$(($1 << 20))" --sizelimit "$(($2 << 20))" "$disk"; }
esp_device=$(attach 1 "$esp")
loops=$esp_device
root_device=$(attach $((esp + 1)) $((size - esp - 2)))
loops="$loops $root_device"
mkfs.vfat -F 32 -n ESP "$esp_device" > /dev/null
mkfs.ext4 -q -L root "$root_device"
uuid=$(blkid -s UUID -o value "$root_device")
mount "$root_device" "$target"
cp -a "$root/." "$target/"
mkdir -p "$target/boot/efi" "$target/boot/grub" "$work/esp/EFI/BOOT" "$work/esp/EFI/debian"
cp "$root/usr/lib/shim/shimx64.efi.signed" "$work/esp/EFI/BOOT/BOOTX64.EFI"
cp "$root/usr/lib/grub/x86_64-efi-signed/grubx64.efi.signed" "$work/esp/EFI/BOOT/grubx64.efi"
printf 'search.fs_uuid %s root\nset prefix=($root)/boot/grub\nconfigfile $prefix/grub.cfg\n' "$uuid" \
  > "$work/esp/EFI/debian/grub.cfg"
# Not every kernel can mount FAT; mtools writes it without.
if mount -t vfat "$esp_device" "$target/boot/efi" 2>/dev/null; then
  cp -r "$work/esp/EFI" "$target/boot/efi/"
  umount "$target/boot/efi"
else
  mcopy -s -i "$esp_device" "$work/esp/EFI" ::
fi
printf 'linux /vmlinuz root=UUID=%s ro console=ttyS0\ninitrd /initrd.img\nboot\n' "$uuid" > "$target/boot/grub/grub.cfg"
printf 'UUID=%s / ext4 defaults 0 1\nLABEL=ESP /boot/efi vfat umask=0077 0 2\n' "$uuid" > "$target/etc/fstab"
umount "$target"
