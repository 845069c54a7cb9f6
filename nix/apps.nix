# `nix run .` and `nix run .#imagekit`.
{ pkgs }:
let
  imagekit = {
    type = "app";
    program = pkgs.lib.getExe pkgs.imagekit;
    meta.description = pkgs.imagekit.meta.description;
  };
in
{
  default = imagekit;
  inherit imagekit;
}
