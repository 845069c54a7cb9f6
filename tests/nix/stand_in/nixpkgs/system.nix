# Stands in for lib.nixosSystem: what our modules set is worked out, and the system and its image are derivations that
# carry it. The values of imagekit.pihole are those that the modules without options of their own say.
{ modules }:
let
  lib = import ./lib.nix;
  load = module: if builtins.isPath module then import module else module;
  packages = import ../packages.nix;
  isValue = module: builtins.isAttrs module && module ? imagekit;
  site = load (builtins.elemAt modules 3) {
    inherit lib;
    pkgs = packages;
  };
  values = (lib.merge [ ] ([ site.config ] ++ builtins.filter isValue modules)).imagekit;
  evaluated = lib.evaluate {
    modules = builtins.filter (module: !isValue module) modules;
    inherit values;
    arguments = {
      pkgs = packages;
      modulesPath = toString ../modules;
    };
    known = {
      services.prometheus.exporters.node.port = 9100;
      nix.package = "/stand-in/nix";
      system.nixos.version = "26.05";
    };
  };
  failed = builtins.filter (one: !one.assertion) evaluated.told.assertions;
  make =
    name:
    derivation {
      inherit name;
      system = "aarch64-linux";
      builder = "/bin/sh";
      host = evaluated.told.networking.hostName;
    };
in
{
  config.system.build =
    if failed == [ ] then
      {
        toplevel = make "system";
        sdImage = make "image";
      }
    else
      throw (builtins.concatStringsSep "\n" (map (one: one.message) failed));
}
