# The values of a site, as a module: from site.json, which `imagekit build` writes into its copy of this flake. A checkout
# has no such file; what is evaluated then is a placeholder that can be looked at and not built.
{ lib, pkgs, ... }:
let
  read = import ./read.nix;
  placeholder = import ./placeholder.nix;
  file = ../site.json;
  found = builtins.pathExists file;
in
{
  config = lib.mkMerge [
    {
      imagekit.pihole = {
        enable = true;
      }
      // (if found then read (builtins.readFile file) else { authorizedKeys = [ placeholder.key ]; });
    }
    (lib.mkIf (!found) {
      # A part of every system, and so of the image: evaluating works, building stops here.
      system.checks = [
        (pkgs.runCommandLocal "imagekit-pihole-needs-your-ssh-key" { } ''
          echo ${lib.escapeShellArg placeholder.sentence} >&2
          exit 1
        '')
      ];
    })
  ];
}
