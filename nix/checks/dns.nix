# A machine with our service answers on port 53, and asks its Unbound first. The real containers cannot be pulled in a
# build, so both are stand-ins made of nixpkgs: one unbound with the configuration that the real one gets, and a dnsmasq
# that forwards to where Pi-hole was told to. What is proven is the units, their order, the network, the firewall and the
# password file; the images themselves are not.
{
  pkgs,
  testers,
  modules,
}:
let
  inherit (import ../site/placeholder.nix) key;

  unbound = pkgs.dockerTools.buildLayeredImage {
    name = "stand-in.example/unbound";
    tag = "1";
    contents = [ pkgs.unbound ];
  };
  pihole = pkgs.dockerTools.buildLayeredImage {
    name = "stand-in.example/pihole";
    tag = "1";
    contents = [
      pkgs.bash
      pkgs.coreutils
      pkgs.dnsmasq
    ];
    extraCommands = "mkdir -p etc/pihole run/secrets tmp var/log var/run";
    config.Cmd = [
      "${pkgs.bash}/bin/bash"
      "-c"
      ''
        set -eu
        test -s "/run/secrets/$WEBPASSWORD_FILE"
        exec dnsmasq --keep-in-foreground --user=root --group=root --no-resolv --no-hosts --log-facility=- \
          --server="$FTLCONF_dns_upstreams" --address=/pi.hole/192.0.2.53
      ''
    ];
  };
  stand-in = name: image: {
    image = pkgs.lib.mkForce "stand-in.example/${name}:1";
    imageFile = image;
    pull = pkgs.lib.mkForce "never";
  };
in
testers.runNixOSTest {
  name = "imagekit-pihole-dns";

  nodes = {
    pihole =
      { config, lib, ... }:
      {
        imports = [ modules.pihole ];
        virtualisation = {
          memorySize = 2048;
          diskSize = 4096;
          oci-containers.containers = {
            unbound = stand-in "unbound" unbound;
            pihole = stand-in "pihole" pihole;
          };
        };
        imagekit.pihole = {
          enable = true;
          hostName = "pihole";
          # The test driver has chosen an address already; ours is that one.
          address = config.networking.primaryIPAddress;
          gateway = "192.168.1.254";
          interface = "eth1";
          bootstrapDns = [ "192.168.1.254" ];
          authorizedKeys = [ key ];
          metrics.allowFrom = [ "192.168.1.0/24" ];
        };
        networking.interfaces = lib.mkForce { };
      };
    client =
      { pkgs, ... }:
      {
        environment.systemPackages = [ pkgs.dnsutils ];
      };
  };

  testScript =
    { nodes, ... }:
    ''
      address = "${nodes.pihole.networking.primaryIPAddress}"
      start_all()

      with subtest("Unbound is there before Pi-hole starts"):
          pihole.wait_for_unit("docker-unbound.service")
          pihole.wait_for_open_port(5335, "127.0.0.1")
          pihole.wait_for_unit("docker-pihole.service")
          order = pihole.succeed("systemctl show --property=After docker-pihole.service")
          assert "docker-unbound.service" in order, order

      with subtest("the network gets answers on port 53"):
          client.wait_for_unit("multi-user.target")
          client.wait_until_succeeds(f"dig +time=2 +tries=1 @{address} pi.hole | grep -q 192.0.2.53", timeout=120)
          client.succeed(f"dig +tcp +time=2 +tries=1 @{address} pi.hole | grep -q 192.0.2.53")

      with subtest("Unbound is for this machine alone"):
          client.fail(f"dig +time=2 +tries=1 -p 5335 @{address} pi.hole")

      with subtest("the machine does not ask itself"):
          resolvers = pihole.succeed("cat /etc/resolv.conf")
          assert resolvers == "nameserver 192.168.1.254\n", resolvers

      with subtest("a random password was made, for root alone"):
          pihole.succeed("test $(stat -c %a /var/lib/imagekit/web-password) = 600")

      with subtest("measurements are read by whom they are for"):
          pihole.wait_for_open_port(9100)
          client.succeed(f"curl --fail --max-time 5 http://{address}:9100/metrics | grep -q node_load1")
    '';
}
