"""The flake and its NixOS modules, looked at with a real Nix and without nixpkgs."""
