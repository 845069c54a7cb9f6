# The image as nixpkgs' sd-image.nix gives it: sd-image/*.img.zst, named in nix-support/hydra-build-products.
{
  system,
  toplevel,
  name ? "nixos-image-sd-card-26.05.20260714.8eeec93-${system}.img",
  noise ? false,
}:
derivation {
  inherit name system toplevel;
  builder = "/bin/sh";
  # Structured attributes: only with them Nix tells hash and size of every path of the closure, as closureInfo has it.
  __structuredAttrs = true;
  exportReferencesGraph.closure = toplevel;
  args = [
    "-eu"
    ./card.sh
    (builtins.placeholder "out")
    name
    toplevel
    (if noise then "noise" else "")
  ];
}
