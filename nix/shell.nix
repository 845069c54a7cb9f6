# What work on imagekit takes: `nix develop`, or direnv with .envrc. The only place with packages that are not free, and
# exactly two of them; neither is in any package or check of this flake.
{ nixpkgs, system }:
let
  pkgs = import nixpkgs {
    inherit system;
    config.allowUnfreePredicate =
      package:
      builtins.elem (nixpkgs.lib.getName package) [
        "packer"
        "vagrant"
      ];
    overlays = [ (import ./overlay.nix) ];
  };
  inherit (pkgs) lib stdenv;
in
pkgs.mkShell {
  inputsFrom = [ pkgs.imagekit ];
  packages = [
    pkgs.deadnix
    pkgs.e2fsprogs
    pkgs.just
    pkgs.mtools
    pkgs.nixfmt-tree
    pkgs.openssh
    pkgs.packer
    pkgs.python3
    pkgs.qemu
    pkgs.rsync
    pkgs.ruff
    pkgs.statix
    pkgs.vagrant
    pkgs.zstd
  ]
  ++ lib.optionals stdenv.hostPlatform.isLinux [
    pkgs.apt
    pkgs.mmdebstrap
    pkgs.util-linux
  ];
}
