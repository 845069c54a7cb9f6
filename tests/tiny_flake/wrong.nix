# Builds that go wrong, and results that are not what they should be.
{ system, toplevel }:
let
  make = import ./make.nix { inherit system; };
  withProducts = text: ''
    mkdir -p "$out/nix-support" "$out/sd-image"
    printf '%s\n' "${text}" > "$out/nix-support/hydra-build-products"
  '';
in
{
  # Ends with status 1 after a few lines.
  broken = make.run "broken.img" ''
    echo "copying the closure"
    echo "mkfs.ext4: the tree does not fit" >&2
    exit 1
  '' { };

  # What a builder says whose disk is full.
  full = make.run "full.img" ''
    echo "mkfs.ext4: No space left on device while writing out and closing file system" >&2
    exit 1
  '' { };

  # Takes a minute, and says so ten times a second.
  slow = make.run "slow.img" ''
    at=0
    while [ "$at" -lt 600 ]; do at=$((at + 1)); echo "step $at of 600"; sleep 0.1; done
    echo done > "$out"
  '' { };

  # Two builds differ.
  unstable = import ./image.nix {
    inherit system toplevel;
    name = "unstable-${system}.img";
    noise = true;
  };

  # For a machine that nobody has.
  wrong-system = (import ./make.nix { system = "riscv32-netbsd"; }).write "wrong-system.img" "nothing";

  # No image at all, one that is named and is not there, and a file of the builder's own.
  no-products = make.write "no-products" "no directory";
  missing-product = make.run "missing-product" (withProducts "file sd-image $out/sd-image/other.img.zst") { };
  foreign-product = make.run "foreign-product" (withProducts "file sd-image /etc/passwd") { };
}
