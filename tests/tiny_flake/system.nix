# A NixOS system in miniature: what U-Boot starts, what the first boot reads, and a switch that can be run anywhere.
{
  system,
  site,
  openssl ? "3.5.1",
  kernel ? "6.12.40",
  release ? "26.05.20260714.8eeec93",
  switchStatus ? 0,
}:
let
  make = import ./make.nix { inherit system; };
  inherit (make)
    run
    write
    place
    link
    ;
  lines = builtins.concatStringsSep "\n";
  admin = site.adminUser or "admin";

  unset = {
    password = null;
    hashedPassword = null;
    hashedPasswordFile = null;
    initialPassword = null;
    initialHashedPassword = null;
  };
  users = [
    (
      unset
      // {
        name = "root";
        uid = 0;
        home = "/root";
        shell = "/run/current-system/sw/bin/bash";
        hashedPassword = "!";
      }
    )
    (
      unset
      // {
        name = admin;
        uid = 1000;
        home = "/home/${admin}";
        shell = "/run/current-system/sw/bin/bash";
      }
    )
    (
      unset
      // {
        name = "sshd";
        uid = null;
        home = "/var/empty";
        shell = "/run/current-system/sw/bin/nologin";
      }
    )
  ];

  linux = run "linux-${kernel}" ''
    mkdir -p "$out/dtbs/broadcom"
    echo kernel > "$out/Image"
    for board in bcm2837-rpi-3-b bcm2711-rpi-4-b; do echo tree > "$out/dtbs/broadcom/$board.dtb"; done
  '' { };
  initrd = place "initrd-linux-${kernel}" "initrd" "initrd";
  library = place "openssl-${openssl}" "lib/libssl.so" "a library of ${openssl}";
  pihole = place "pihole-6.1.4" "share/pihole" "DNS with a list of what is not answered, by ${library}";
  unbound = place "unbound-1.23.1" "share/unbound" "a resolver, by ${library}";

  accounts = write "users-groups.json" (
    builtins.toJSON {
      mutableUsers = false;
      inherit users;
      groups = [ ];
    }
  );
  # As NixOS's own assertion (users-groups.nix) ends an evaluation.
  keys =
    if site.authorizedKeys == [ ] then
      throw "\nFailed assertions:\n- Neither the root account nor any wheel user has a password or SSH authorized key.\nYou must set one to prevent being locked out of your system."
    else
      write "${admin}-authorized_keys" (lines site.authorizedKeys);
  sshdConfig = write "sshd.conf-final" ''
    UsePAM yes
    PasswordAuthentication no
    KbdInteractiveAuthentication no
    PermitRootLogin no
    AuthorizedKeysFile %h/.ssh/authorized_keys /etc/ssh/authorized_keys.d/%u'';
  fstab = write "etc-fstab" ''
    /dev/disk/by-label/NIXOS_SD / ext4 x-initrd.mount 0 1
    /dev/disk/by-label/FIRMWARE /boot/firmware vfat nofail,noauto 0 2'';
  hostName = write "etc-hostname" site.hostName;
  zone = write "etc-timezone" site.timeZone;
  interface = site.interface or null;
  network = place "unit-40-wired.network" "40-wired.network" (
    lines (
      [
        "[Match]"
        (if interface == null then "Type=ether" else "Name=${interface}")
        "[Network]"
        "Address=${site.address}/${toString site.prefixLength}"
        "Gateway=${site.gateway}"
      ]
      ++ map (server: "DNS=${server}") site.bootstrapDns
    )
  );
  unit = name: command: place "unit-${name}" name "[Unit]\nDescription=${name}\n[Service]\nExecStart=${command}";
  services = {
    "sshd.service" = unit "sshd.service" "sshd -D -f /etc/ssh/sshd_config";
    "systemd-networkd.service" = unit "systemd-networkd.service" "systemd-networkd";
    "docker-pihole.service" =
      unit "docker-pihole.service" "docker run --name=pihole --env-file /run/secrets/pihole.env ${pihole}";
    "docker-unbound.service" = unit "docker-unbound.service" "docker run --name=unbound ${unbound}";
  };
  names = builtins.attrNames services;
  units = link "system-units" (
    builtins.listToAttrs (
      map (name: {
        inherit name;
        value = "${services.${name}}/${name}";
      }) names
      ++ map (name: {
        name = "multi-user.target.wants/${name}";
        value = "../${name}";
      }) names
    )
  );
  etc = link "etc" {
    "etc/fstab" = fstab;
    "etc/hostname" = hostName;
    "etc/timezone" = zone;
    "etc/ssh/sshd_config" = sshdConfig;
    "etc/ssh/authorized_keys.d/${admin}" = keys;
    "etc/systemd/system" = units;
    "etc/systemd/network/40-wired.network" = "${network}/40-wired.network";
  };
  localCommands = write "local-cmds" ''
    if [ -f /nix-path-registration ]; then
      resize2fs "$rootPart"
      rm -f /nix-path-registration
    fi'';
in
run "nixos-system-${site.hostName}-${release}"
  ''
    mkdir -p "$out/bin"
    ln -s "$linux/Image" "$out/kernel"
    ln -s "$linux/dtbs" "$out/dtbs"
    ln -s "$initrd/initrd" "$out/initrd"
    ln -s "$etc/etc" "$out/etc"
    printf loglevel=7 > "$out/kernel-params"
    printf %s "$release" > "$out/nixos-version"
    printf %s "$system" > "$out/system"
    printf '#!/bin/sh\n/bin/sh %s\nexec systemd\n' "$localCommands" > "$out/init"
    printf '#!/bin/sh\nperl -w update-users-groups.pl %s\n' "$accounts" > "$out/activate"
    sed -e "s|@out@|$out|g" -e "s|@status@|$switchStatus|g" "$switch" > "$out/bin/switch-to-configuration"
    chmod +x "$out/init" "$out/activate" "$out/bin/switch-to-configuration"
  ''
  {
    inherit
      linux
      initrd
      etc
      accounts
      localCommands
      release
      switchStatus
      ;
    switch = ./switch.sh;
  }
