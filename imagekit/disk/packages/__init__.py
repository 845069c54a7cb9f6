"""Package databases: dpkg, rpm, apk, Nix; ``read`` takes the one that is there."""
