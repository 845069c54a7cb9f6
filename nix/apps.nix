# `nix run .` and `nix run .#imagekit`.
{ pkgs }:
let
  imagekit = {
    type = "app";
    program = pkgs.lib.getExe pkgs.imagekit;
    meta = {
      inherit (pkgs.imagekit.meta) description;
    };
  };
in
{
  default = imagekit;
  inherit imagekit;
}
