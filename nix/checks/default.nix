# What `nix flake check` proves on one system. A VM needs KVM, or patience, and exists on Linux alone.
{
  pkgs,
  system,
  machines,
  modules,
}:
let
  inherit (pkgs) lib;
in
{
  package = pkgs.callPackage ./tests.nix { };
  style = pkgs.callPackage ./style.nix { };
  pihole-evaluates = pkgs.callPackage ./evaluation.nix { inherit machines; };
}
// lib.optionalAttrs (lib.hasSuffix "-linux" system) {
  dns = pkgs.callPackage ./dns.nix { inherit modules; };
}
