{
  description = "A Raspberry Pi card in miniature, made in seconds by the programs of the machine that builds it";

  # No input, hence nothing to download: what nixpkgs would make is written by /bin/sh in tiny.nix.
  outputs =
    _:
    let
      systems = [
        "aarch64-linux"
        "x86_64-linux"
      ];
      forSystems =
        make:
        builtins.listToAttrs (
          map (system: {
            name = system;
            value = make system;
          }) systems
        );
      # As the real flake: imagekit writes this file into its staged copy.
      siteFile = ./nix/site.json;
      site =
        if builtins.pathExists siteFile then
          builtins.fromJSON (builtins.readFile siteFile)
        else
          import ./example-site.nix;
      makeSystem = system: changes: import ./system.nix ({ inherit system site; } // changes);
      makeImage = system: changes: import ./image.nix { inherit system; toplevel = makeSystem system changes; };
      makeConfiguration = system: changes: {
        config.system.build.toplevel = makeSystem system changes;
        config.system.build.sdImage = makeImage system changes;
      };
      next = {
        openssl = "3.5.2";
      };
    in
    {
      packages = forSystems (
        system:
        {
          pihole-image = makeImage system { };
          pihole-image-next = makeImage system next;
        }
        // import ./wrong.nix {
          inherit system;
          toplevel = makeSystem system { };
        }
      );

      # The suffixes are for tests: another version, a switch that fails, and this machine's own system.
      nixosConfigurations = {
        pihole = makeConfiguration "aarch64-linux" { };
        pihole-next = makeConfiguration "aarch64-linux" next;
        pihole-bad-switch = makeConfiguration "aarch64-linux" { switchStatus = 4; };
        pihole-x86 = makeConfiguration "x86_64-linux" { };
        pihole-x86-next = makeConfiguration "x86_64-linux" next;
        pihole-x86-bad-switch = makeConfiguration "x86_64-linux" { switchStatus = 4; };
      };
    };
}
