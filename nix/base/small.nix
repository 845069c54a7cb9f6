# What a headless machine of one purpose does not need.
{ config, lib, ... }:
{
  config = lib.mkIf config.imagekit.pihole.enable {
    documentation = {
      enable = false;
      nixos.enable = false;
    };
    environment.defaultPackages = [ ];
    nix.channel.enable = false;
    programs.command-not-found.enable = false;
    # The base profile of the card's image asks for ZFS, whose kernel module is the usual reason for hours of building.
    boot.supportedFilesystems.zfs = lib.mkForce false;
    system.stateVersion = lib.mkDefault "26.05";
  };
}
