# What our modules tell NixOS for given values of imagekit.pihole: a function of JSON, for `nix-instantiate --eval`.
{
  modules,
  values ? "{}",
}:
let
  lib = import ./lib.nix;
  pkgs = import ./packages.nix;
  evaluated = lib.evaluate {
    inherit modules;
    values.pihole = builtins.fromJSON values;
    arguments = {
      inherit pkgs;
      modulesPath = toString ./modules;
    };
    known = {
      services.prometheus.exporters.node.port = 9100;
      nix.package = "/stand-in/nix";
      system.nixos.version = "26.05";
    };
  };
  # Packages and functions are no JSON.
  plain =
    value:
    if builtins.isFunction value then
      "a function"
    else if builtins.isAttrs value && value ? outPath then
      {
        package = value.outPath;
        text = value.text or value.script or value.pulled or null;
      }
    else if builtins.isAttrs value then
      builtins.mapAttrs (_: plain) value
    else if builtins.isList value then
      map plain value
    else
      value;
in
{
  told = plain evaluated.told;
  values = plain evaluated.config.imagekit.pihole;
}
