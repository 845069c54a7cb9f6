# Stands in for the flake of nixpkgs: the names that our flake asks for, and a derivation behind each. It shows that the
# outputs are wired up and what they are made of; nothing real is built of it.
{
  outputs = _: {
    lib = (import ./lib.nix) // {
      nixosSystem = import ./system.nix;
    };
  };
}
