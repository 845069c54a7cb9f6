# A card wears out by being written: logs are few and late, swap and temporary files are in memory.
{ config, lib, ... }:
{
  config = lib.mkIf config.imagekit.pihole.enable {
    # A drop-in and not services.journald: those options have been renamed in nixpkgs, journald.conf.d(5) has not.
    environment.etc."systemd/journald.conf.d/10-imagekit.conf".text = ''
      [Journal]
      Storage=persistent
      SystemMaxUse=128M
      RuntimeMaxUse=32M
      MaxRetentionSec=1month
      SyncIntervalSec=15m
    '';

    virtualisation.docker = {
      # Containers log to the journal, whose limits hold for them too.
      logDriver = "journald";
      # Every update leaves an image of half a gigabyte. Once a month, so that going back finds the last one for a while.
      autoPrune = {
        enable = true;
        dates = "monthly";
        flags = [ "--all" ];
      };
    };

    zramSwap.enable = true;
    boot.tmp = {
      useTmpfs = true;
      tmpfsSize = "25%";
    };
    fileSystems."/".options = [ "noatime" ];
  };
}
