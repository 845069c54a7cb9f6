# Every file of ours in the one format, and nothing in it that is dead or odd.
{
  lib,
  runCommand,
  deadnix,
  nixfmt,
  statix,
}:
runCommand "imagekit-style"
  {
    src = lib.fileset.toSource {
      root = ../..;
      fileset = lib.fileset.unions [
        ../../flake.nix
        (lib.fileset.fileFilter (file: file.hasExt "nix") ../../nix)
        (lib.fileset.fileFilter (file: file.hasExt "nix") ../../tests/nix)
      ];
    };
    nativeBuildInputs = [
      deadnix
      nixfmt
      statix
    ];
  }
  ''
    cd $src
    find . -name '*.nix' -print0 | xargs -0 nixfmt --check
    deadnix --fail .
    statix check .
    touch $out
  ''
