"""NixOS images: built by Nix on whichever machine can, and brought here as a raw disk."""
