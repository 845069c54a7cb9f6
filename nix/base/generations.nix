# A few generations to go back to, in the boot menu and in the store, and nothing that upgrades by itself.
{
  config,
  lib,
  ...
}:
let
  cfg = config.imagekit.pihole;
  profile = "/nix/var/nix/profiles/system";
in
{
  config = lib.mkIf cfg.enable {
    # What the menu lists has to be what the store keeps: both are the same number.
    boot.loader.generic-extlinux-compatible.configurationLimit = cfg.generations;

    systemd.services.imagekit-generations = {
      description = "Keep the last ${toString cfg.generations} generations of the system";
      startAt = "weekly";
      path = [ config.nix.package ];
      serviceConfig = {
        Type = "oneshot";
        Nice = 19;
        IOSchedulingClass = "idle";
      };
      # The generation that runs is kept by Nix itself, whichever it is.
      script = ''
        nix-env --profile ${profile} --delete-generations +${toString cfg.generations}
        nix-store --gc
      '';
    };

    # Upgrades are pushed, by `imagekit deploy` or `nixos-rebuild --target-host`, when somebody is there to look.
    system.autoUpgrade.enable = false;
    nix.settings.experimental-features = [
      "nix-command"
      "flakes"
    ];
  };
}
