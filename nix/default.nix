# The outputs of the flake, put together; each is a file beside this one.
{ nixpkgs }:
let
  inherit (nixpkgs.lib) genAttrs;
  forEach = genAttrs (import ./systems.nix);
  overlay = import ./overlay.nix;
  packagesOf =
    system:
    import nixpkgs {
      inherit system;
      overlays = [ overlay ];
    };
  machines = import ./machines.nix { inherit nixpkgs; };
  # Imported and not named: Nix 2.8 refuses a module that is a path.
  modules = {
    pihole = import ./pihole;
    base = import ./base;
    image = import ./image;
    default = import ./pihole;
  };
in
{
  packages = forEach (
    system:
    import ./packages.nix {
      inherit machines system;
      pkgs = packagesOf system;
    }
  );
  apps = forEach (system: import ./apps.nix { pkgs = packagesOf system; });
  devShells = forEach (system: {
    default = import ./shell.nix { inherit nixpkgs system; };
  });
  checks = forEach (
    system:
    import ./checks {
      inherit machines modules system;
      pkgs = packagesOf system;
    }
  );
  formatter = forEach (system: (packagesOf system).nixfmt-tree);
  nixosModules = modules;
  nixosConfigurations = machines;
  overlays.default = overlay;
}
