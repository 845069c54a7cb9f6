# Both Pi-holes can be evaluated, on any system. The paths lose their context: a check that refers to a derivation of
# another system has to build it, and `nix flake check --no-build` then says that a path is not valid.
{
  lib,
  runCommand,
  machines,
}:
let
  paths = lib.mapAttrsToList (
    name: machine:
    "${name} ${builtins.unsafeDiscardStringContext machine.config.system.build.sdImage.drvPath}"
  ) machines;
in
runCommand "imagekit-pihole-evaluates" { inherit paths; } ''
  printf '%s\n' "''${paths[@]}" > $out
''
