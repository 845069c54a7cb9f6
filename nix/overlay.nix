# imagekit among the packages of somebody else's nixpkgs.
final: _: { imagekit = final.callPackage ./cli/package.nix { }; }
