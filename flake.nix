{
  description = "imagekit: VM templates and SD images for a homelab, and the NixOS Pi-hole";

  inputs.nixpkgs.url = "github:NixOS/nixpkgs/nixos-26.05";

  outputs = { nixpkgs, ... }: import ./nix { inherit nixpkgs; };
}
