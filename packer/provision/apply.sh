#!/bin/sh
# Puts into the running machine what the definition adds. Reads /dev/shm/payload.tar, which holds
#   packages        names, one a line
#   debs/*.deb      package files that the operator brings
#   users           name:shell:group,group, one a line
#   units           systemd units to enable, one a line
#   additions.tar   files with their owners by name, unpacked over /
# Runs as root. Says what fails and stops there.
set -eu
payload=/run/imagekit-payload
trap 'rm -rf "$payload" /dev/shm/payload.tar' EXIT
mkdir -m 0700 "$payload"
tar --extract --file /dev/shm/payload.tar --directory "$payload"

# The first boot installs and writes as well; two at once would meet in dpkg's lock and in /etc.
if command -v cloud-init >/dev/null; then
  cloud-init status --wait >/dev/null || {
    # 2 is "done, with complaints"; what they are is in the log, and no reason to stop.
    [ $? = 2 ] || { cloud-init status --long >&2; exit 1; }
  }
fi

install_packages() {
  if command -v apt-get >/dev/null; then
    # A timer of the distribution may be at work: unattended-upgrades and apt-daily hold the lock for minutes.
    systemctl stop apt-daily.timer apt-daily-upgrade.timer apt-daily.service apt-daily-upgrade.service unattended-upgrades.service 2>/dev/null || true
    export DEBIAN_FRONTEND=noninteractive NEEDRESTART_MODE=a
    set -- -o DPkg::Lock::Timeout=300 -o Dpkg::Options::=--force-confold "$@"
    if [ -s "$payload/packages" ]; then
      apt-get --quiet -o Acquire::Languages=none update
      xargs --arg-file "$payload/packages" apt-get --quiet --yes --no-install-recommends "$@" install
    fi
    for deb in "$payload"/debs/*.deb; do
      [ ! -e "$deb" ] || apt-get --quiet --yes --no-install-recommends "$@" install "$deb"
    done
  elif command -v apk >/dev/null; then
    [ ! -s "$payload/packages" ] || xargs apk add --quiet < "$payload/packages"
  else
    [ ! -s "$payload/packages" ] || { echo "apply.sh: neither apt-get nor apk is here to install packages" >&2; exit 1; }
  fi
}

add_user() {
  name=${1%%:*} rest=${1#*:}
  shell=${rest%%:*} groups=${rest#*:}
  if command -v useradd >/dev/null; then
    useradd --create-home --user-group --shell "$shell" ${groups:+--groups "$groups"} --password '*' "$name"
  else
    adduser -D -s "$shell" "$name"
    echo "$name:*" | chpasswd --encrypted
    for group in $(echo "$groups" | tr , ' '); do addgroup "$name" "$group"; done
  fi
}

grub_before=$(cat /etc/default/grub.d/50-imagekit.cfg 2>/dev/null || true)
install_packages
while read -r user; do add_user "$user"; done < "$payload/users"
# Parents keep the modes that they have; /etc/resolv.conf and its like stay what the running system made them.
tar --extract --file "$payload/additions.tar" --directory / --no-overwrite-dir
while read -r unit; do
  if command -v systemctl >/dev/null; then systemctl --quiet enable "$unit"; else rc-update add "${unit%.service}" default; fi
done < "$payload/units"
if [ "$grub_before" != "$(cat /etc/default/grub.d/50-imagekit.cfg 2>/dev/null || true)" ] && command -v update-grub >/dev/null; then
  update-grub 2>/dev/null
fi
