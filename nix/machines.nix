# The Pi-hole as NixOS systems: the one for the card, and the same under another name and address.
{ nixpkgs }:
let
  build =
    modules:
    nixpkgs.lib.nixosSystem {
      modules = [
        ./pihole
        ./base
        ./image
        ./site
      ]
      ++ modules;
    };
in
{
  pihole = build [ ];
  pihole-test = build [ { imagekit.pihole.testing.enable = true; } ];
}
