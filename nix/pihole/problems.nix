# Refuses values that cannot work, in the words of judge.nix, before anything is built.
{ config, lib, ... }:
let
  cfg = config.imagekit.pihole;
in
{
  config = lib.mkIf cfg.enable {
    assertions = map (message: {
      assertion = false;
      inherit message;
    }) (import ./judge.nix cfg);
  };
}
