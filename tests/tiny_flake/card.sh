# Writes a card's image: an MBR, the firmware's FAT, an ext4 root with the system's closure; in a store path.
# card.sh OUT NAME TOPLEVEL NOISE. The same closure gives the same bytes, whoever builds it, unless NOISE is "noise".
PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:/run/current-system/sw/bin
SOURCE_DATE_EPOCH=315532800 E2FSPROGS_FAKE_TIME=315532800 TZ=UTC LC_ALL=C MTOOLSRC=/dev/null MTOOLS_SKIP_CHECK=1
export PATH SOURCE_DATE_EPOCH E2FSPROGS_FAKE_TIME TZ LC_ALL MTOOLSRC MTOOLS_SKIP_CHECK
umask 022
out=$1 name=$2 toplevel=$3 noise=$4
work=$(pwd)
root=$work/root firmware=$work/firmware
first=2048 firmware_sectors=4096 root_sectors=16384 # of 512 bytes
mkdir -p "$root/nix/store" "$root/boot/extlinux" "$root/boot/nixos" "$firmware" "$out/sd-image" "$out/nix-support"

# The closure as Nix registers it (nix-store --load-db): path, hash, size, deriver, number of references, references.
grep -o '{[^{}]*"path":"[^{}]*}' "$NIX_ATTRS_JSON_FILE" | sed 's/.*"path":"\([^"]*\)".*/\1 &/' | sort > objects
while read -r path object; do
    hash=$(printf %s "$object" | sed 's/.*"narHash":"\([^"]*\)".*/\1/')
    size=$(printf %s "$object" | sed 's/.*"narSize":\([0-9]*\).*/\1/')
    references=$(printf %s "$object" | sed 's/.*"references":\[\([^]]*\)\].*/\1/' | tr -d '"' | tr ',' '\n')
    printf '%s\n%s\n%s\n\n' "$path" "$hash" "$size"
    printf '%s\n' "$references" | sed '/^$/d' > references
    wc -l < references | tr -d ' '
    cat references
    cp -R -P "$path" "$root/nix/store/"
done < objects > "$root/nix-path-registration"
chmod -R u+w "$root"

# The boot menu, as extlinux-conf-builder.sh writes it.
kernel=$(basename "$(dirname "$(readlink "$toplevel/kernel")")")
initrd=$(basename "$(dirname "$(readlink "$toplevel/initrd")")")
cp "$toplevel/kernel" "$root/boot/nixos/$kernel-Image"
cp "$toplevel/initrd" "$root/boot/nixos/$initrd-initrd"
cp -R -L "$toplevel/dtbs" "$root/boot/nixos/$kernel-dtbs"
cat > "$root/boot/extlinux/extlinux.conf" << END
# Generated file, all changes will be lost on nixos-rebuild!

# Change this to e.g. 'UI menu.c32' to enable a graphical menu
DEFAULT nixos-default

MENU TITLE ------------------------------------------------------------
TIMEOUT 30

LABEL nixos-default
  MENU LABEL NixOS - Default
  LINUX ../nixos/$kernel-Image
  INITRD ../nixos/$initrd-initrd
  APPEND init=$toplevel/init $(cat "$toplevel/kernel-params")
  FDTDIR ../nixos/$kernel-dtbs
END

# A test's store is elsewhere; the card's is where NixOS has it.
if [ "$NIX_STORE" != /nix/store ]; then
    find "$root" -type f -exec sed -i "s|$NIX_STORE|/nix/store|g" {} +
    find "$root" -type l | while read -r each; do
        target=$(readlink "$each")
        case $target in "$NIX_STORE"/*) ln -sfn "/nix/store${target#"$NIX_STORE"}" "$each" ;; esac
    done
fi
chmod -R a-w "$root/nix/store"
chmod u+w "$root/nix/store"

# The root. mke2fs before 1.47.1 takes over the owner, access and change times of what it copies: they are set after.
truncate -s $((root_sectors * 512)) root.ext4
mke2fs -q -t ext4 -b 1024 -L NIXOS_SD -U 0f3f0e52-6c5d-4a0e-9a2e-7c1d5b9c4e11 -d "$root" \
    -E hash_seed=5b1f7e0c-3b0a-4b52-8c36-0d6f6b6e4a11,lazy_itable_init=0 root.ext4
{
    echo "set_super_value wtime 19800101000000"
    (cd "$root" && find . | sort) | sed 's|^\.$|/|; s|^\./|/|' | while read -r each; do
        for field in atime ctime mtime crtime; do echo "set_inode_field $each $field 19800101000000"; done
        for field in uid gid atime_extra ctime_extra mtime_extra crtime_extra; do
            echo "set_inode_field $each $field 0"
        done
    done
} > times
debugfs -w -f times root.ext4 > debugfs.log 2>&1

# The firmware: the names that a Raspberry Pi 3 or 4 looks for.
cat > "$firmware/config.txt" << 'END'
[pi3]
kernel=u-boot-rpi3.bin

[pi02]
kernel=u-boot-rpi3.bin

[pi4]
kernel=u-boot-rpi4.bin
enable_gic=1
armstub=armstub8-gic.bin

[all]
# Boot in 64-bit mode.
arm_64bit=1
enable_uart=1
avoid_warnings=1
END
for each in bootcode.bin start.elf start4.elf fixup.dat fixup4.dat u-boot-rpi3.bin u-boot-rpi4.bin \
    armstub8-gic.bin bcm2711-rpi-4-b.dtb; do echo program > "$firmware/$each"; done
if [ "$noise" = noise ]; then cat /proc/sys/kernel/random/uuid > "$firmware/noise.txt"; fi
find "$firmware" -exec touch -d @315532800 {} +
truncate -s $((firmware_sectors * 512)) firmware.fat
mformat -i firmware.fat -T "$firmware_sectors" -h 16 -s 32 -N 5D0C1A2B -v FIRMWARE ::
for each in "$firmware"/*; do mcopy -i firmware.fat -m "$each" ::; done

# The card.
image=$work/card.img
truncate -s $(((first + firmware_sectors + root_sectors) * 512)) "$image"
sfdisk -q --no-reread --no-tell-kernel "$image" << END
label: dos
label-id: 0x5d0c1a2b
start=$first, size=$firmware_sectors, type=b
start=$((first + firmware_sectors)), size=$root_sectors, type=83, bootable
END
dd if=firmware.fat of="$image" bs=512 seek="$first" conv=notrunc status=none
dd if=root.ext4 of="$image" bs=512 seek=$((first + firmware_sectors)) conv=notrunc status=none
zstd -q -T1 -3 "$image" -o "$out/sd-image/$name.zst"
echo "$toplevel" > "$out/nix-support/system"
echo "file sd-image $out/sd-image/$name.zst" > "$out/nix-support/hydra-build-products"
