# SSH with keys, one user who may become root, and no password anywhere.
{ config, lib, ... }:
let
  cfg = config.imagekit.pihole;
in
{
  config = lib.mkIf cfg.enable {
    services.openssh = {
      enable = true;
      openFirewall = true;
      # Keys are those of this configuration; one that somebody adds on the machine does not count.
      authorizedKeysInHomedir = false;
      settings = {
        PasswordAuthentication = false;
        KbdInteractiveAuthentication = false;
        PermitRootLogin = "no";
        AllowUsers = [ cfg.adminUser ];
      };
      hostKeys = [
        {
          type = "ed25519";
          path = "/etc/ssh/ssh_host_ed25519_key";
        }
      ];
    };

    users.mutableUsers = false;
    # Merged and not written side by side: a site that calls its user root shall read judge.nix's sentence about that.
    users.users = lib.mkMerge [
      {
        ${cfg.adminUser} = {
          isNormalUser = true;
          extraGroups = [ "wheel" ];
          openssh.authorizedKeys.keys = cfg.authorizedKeys;
        };
      }
      # Not empty, which would be no password to ask for: locked.
      { root.hashedPassword = "!"; }
    ];

    security.sudo = {
      wheelNeedsPassword = false;
      execWheelOnly = true;
    };

    # `imagekit deploy` and `nixos-rebuild --target-host` copy closures as this user.
    nix.settings.trusted-users = [ cfg.adminUser ];
  };
}
