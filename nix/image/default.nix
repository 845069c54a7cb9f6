# The card's image: NixOS's own for 64-bit Raspberry Pis 3, 4, Zero 2 W and CM4. A Raspberry Pi 5 does not start with it.
{
  config,
  lib,
  modulesPath,
  ...
}:
let
  cfg = config.imagekit.pihole;
in
{
  imports = [ "${modulesPath}/installer/sd-card/sd-image-aarch64.nix" ];

  config = lib.mkIf cfg.enable {
    nixpkgs.hostPlatform = lib.mkDefault "aarch64-linux";

    # Read the name of the file from nix-support/hydra-build-products; this is for people.
    image.baseName = lib.mkForce "imagekit-${cfg.identity.hostName}-${config.system.nixos.version}";

    sdImage = {
      compressImage = true;
      # Firmware and U-Boot are outside of the generations and grow; 30 MB, the default, leave no room for newer ones.
      firmwareSize = 128;
    };
  };
}
