#!/bin/sh
# The last step of every build: turns a machine that has lived into a template, and turns it off.
# Runs as root. BUILD_USER is the account that the build came in by; it is gone afterwards.
# What is removed here is what `imagekit verify` looks for; it judges the disk afterwards, this script does not.
set -eu
export LC_ALL=C
has() { command -v "$1" >/dev/null 2>&1; }

# Nothing may write while it is cleaned away, and nothing may be written on the way down: the shutdown saves a random
# seed that all clones would share, and a last line into wtmp.
if has systemctl; then
  systemctl --quiet mask --runtime systemd-random-seed.service systemd-update-utmp.service systemd-journal-flush.service
  systemctl daemon-reload
  systemctl --quiet stop apt-daily.timer apt-daily-upgrade.timer apt-daily.service apt-daily-upgrade.service \
    unattended-upgrades.service packagekit.service rsyslog.service syslog.socket man-db.timer logrotate.timer \
    fstrim.timer dpkg-db-backup.timer motd-news.timer snapd.service 2>/dev/null || true
  ! has journalctl || journalctl --relinquish-var 2>/dev/null || true
fi

# cloud-init's own clean-up first: it runs the hooks of /etc/cloud/clean.d, an installer's among them. Its --machine-id
# removes the file in older versions, and a machine without one may not boot, so that part is done below.
if has cloud-init; then
  offers=$(cloud-init clean --help 2>/dev/null || true)
  set -- --logs --seed
  case $offers in *--configs*) set -- "$@" --configs all ;; esac
  cloud-init clean "$@"
fi
rm -rf /var/lib/cloud/instances /var/lib/cloud/instance /var/lib/cloud/data /var/lib/cloud/sem /var/lib/cloud/seed
rm -f /etc/sudoers.d/90-cloud-init-users /etc/ssh/sshd_config.d/50-cloud-init.conf /etc/cloud/cloud-init.disabled \
  /etc/cloud/ds-identify.cfg /etc/cloud/cloud.cfg.d/99-installer.cfg /etc/cloud/cloud.cfg.d/90-installer-network.cfg \
  /etc/cloud/cloud.cfg.d/curtin-preserve-sources.cfg /etc/cloud/cloud.cfg.d/20-disable-cc-dpkg-grub.cfg
# By content: the names of these files change between releases.
for file in /etc/cloud/cloud.cfg.d/*.cfg; do
  [ ! -e "$file" ] || ! grep -Eqs '^network: *\{ *config: *disabled *\}' "$file" || rm -f "$file"
done

# The network of this machine.
rm -f /etc/netplan/50-cloud-init.yaml /etc/netplan/00-installer-config.yaml /etc/netplan/01-netcfg.yaml \
  /etc/network/interfaces.d/50-cloud-init* /etc/systemd/network/*cloud-init* /etc/systemd/network/*netplan* \
  /etc/udev/rules.d/70-persistent-net.rules /etc/NetworkManager/system-connections/* \
  /var/lib/dhcp/*.leases /var/lib/dhcpcd/*.lease /var/lib/udhcpc/* /var/lib/NetworkManager/*.lease \
  /var/lib/NetworkManager/secret_key /var/lib/NetworkManager/timestamps
[ ! -f /etc/network/interfaces ] || {
  # An installer names the card it saw; a clone's network comes from cloud-init.
  [ ! -d /etc/network/interfaces.d ] || printf 'source /etc/network/interfaces.d/*\n\nauto lo\niface lo inet loopback\n' > /etc/network/interfaces
}

# Who this machine was. The id is emptied, never removed: systemd makes another in an empty file only.
: > /etc/machine-id
[ -L /var/lib/dbus/machine-id ] || rm -f /var/lib/dbus/machine-id
: > /etc/hostname
sed -i '/^127\.0\.1\.1[[:space:]]/d' /etc/hosts
rm -f /etc/ssh/ssh_host_* /var/lib/systemd/random-seed /var/lib/systemd/credential.secret /boot/efi/loader/random-seed \
  /var/lib/misc/random-seed /var/lib/seedrng/* /etc/hostid /etc/iscsi/initiatorname.iscsi /etc/nvme/hostnqn /etc/nvme/hostid

# What installers and people leave.
rm -rf /var/log/installer /var/lib/cloud/scripts/per-boot/.keep /root/.ssh /root/.cache /root/.ansible /root/.bash_history \
  /root/.ash_history /root/.wget-hsts /root/.lesshst /root/.viminfo /root/snap /var/crash/* /var/lib/systemd/coredump/* \
  /var/mail/* /var/spool/mail/*
[ ! -f /etc/apt/sources.list ] || sed -i '/^deb cdrom:/d' /etc/apt/sources.list

# Packages' leftovers.
if has apt-get; then
  apt-get --quiet clean
  rm -rf /var/lib/apt/lists/* /var/cache/apt/*.bin /var/cache/debconf/*-old /var/lib/dpkg/*-old /var/lib/dpkg/lock* \
    /var/lib/ucf/hashfile.[0-9]* /var/lib/ucf/registry.[0-9]* /var/backups/* /var/cache/apt/archives/*.deb
fi
has apk && rm -rf /var/cache/apk/* /etc/apk/cache
rm -f /initrd.img.old /vmlinuz.old

# The account of this build, its home, keys and rights. It is logged in, hence --force; nothing runs as it afterwards.
if [ -n "${BUILD_USER:-}" ] && [ "$BUILD_USER" != root ] && id "$BUILD_USER" >/dev/null 2>&1; then
  if has userdel; then userdel --force --remove "$BUILD_USER" 2>/dev/null || [ $? = 12 ]; else deluser --remove-home "$BUILD_USER"; fi
  rm -rf "/home/${BUILD_USER:?}" "/etc/sudoers.d/$BUILD_USER" "/etc/sudoers.d/90-$BUILD_USER"
fi
rm -f /etc/passwd- /etc/group- /etc/shadow- /etc/gshadow- /etc/subuid- /etc/subgid-

# Logs at the end, since all of the above may have written some.
if [ -d /var/log/journal ]; then find /var/log/journal -mindepth 1 -delete; fi
find /var/log -type f \( -name '*.gz' -o -name '*.xz' -o -name '*.[0-9]' -o -name '*.old' \) -delete
find /var/log -type f -exec truncate -s 0 {} +
find /tmp /var/tmp -mindepth 1 -maxdepth 1 -exec rm -rf {} + 2>/dev/null || true
if [ -d /var/lib/systemd/timers ]; then find /var/lib/systemd/timers -type f -delete; fi

sync
! has fstrim || fstrim --all 2>/dev/null || true

# Off, without stopping services: each of them would write again. The build says when by a file in memory; a machine
# whose builder has no such moment goes down by itself.
cat > /run/imagekit-off <<'OFF'
#!/bin/sh
tries=0
while [ ! -e /dev/shm/imagekit-off ] && [ $tries -lt 20 ]; do tries=$((tries + 1)); sleep 0.25; done
sync
if command -v systemctl >/dev/null 2>&1; then exec systemctl --force poweroff; fi
mount -o remount,ro / 2>/dev/null
exec poweroff -f
OFF
if has systemd-run; then
  systemd-run --quiet --collect --unit imagekit-off sh /run/imagekit-off
else
  (setsid sh /run/imagekit-off >/dev/null 2>&1 </dev/null &)
fi
