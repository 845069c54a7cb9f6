# The two containers on Docker with the host's network: where their images come from, in which order they start, and
# what Pi-hole is told. It is told by FTLCONF_ variables of version 6 alone; older names mean nothing to it.
{
  config,
  lib,
  pkgs,
  ...
}:
let
  cfg = config.imagekit.pihole;

  # With a hash: fetched by Nix, on the card, never pulled. Without: pulled by its digest when it is not there yet. A
  # loaded image has a tag and no digest, so Docker must not be asked for a digest then.
  source =
    image:
    if image.hash == null then
      {
        image = "${image.name}:${image.tag}@${image.digest}";
        pull = "missing";
      }
    else
      {
        image = "${image.name}:${image.tag}";
        pull = "never";
        imageFile = pkgs.dockerTools.pullImage {
          imageName = image.name;
          imageDigest = image.digest;
          finalImageName = image.name;
          finalImageTag = image.tag;
          inherit (image) hash;
        };
      };

  # For ever, and not in a hurry: the first start may have to wait for the network, the router, the registry.
  patient = {
    startLimitIntervalSec = 0;
    serviceConfig.RestartSec = "10s";
  };
in
{
  config = lib.mkIf cfg.enable {
    virtualisation = {
      docker.enable = true;
      oci-containers = {
        backend = "docker";
        containers = {
          unbound = source cfg.images.unbound // {
            extraOptions = [ "--network=host" ];
          };
          pihole = source cfg.images.pihole // {
            volumes = [ "/var/lib/imagekit/pihole:/etc/pihole" ];
            environment = {
              TZ = cfg.timeZone;
              FTLCONF_dns_upstreams = "127.0.0.1#${toString cfg.upstreamPort}";
              # Answers whoever is in a network of this machine, and nobody behind the router.
              FTLCONF_dns_listeningMode = "LOCAL";
              # No TLS with a certificate that nobody knows; "o" is a port that may be missing, as without IPv6.
              FTLCONF_webserver_port = "80o,[::]:80o";
              # The machine keeps its time itself; a container has no right to set it.
              FTLCONF_ntp_ipv4_active = "false";
              FTLCONF_ntp_ipv6_active = "false";
              FTLCONF_ntp_sync_active = "false";
              # Statistics go to the card every quarter of an hour, not every minute, and for a month.
              FTLCONF_database_DBinterval = "900";
              FTLCONF_database_maxDBdays = "31";
            };
            extraOptions = [
              "--network=host"
              # Its logs live in memory: one line for each query would wear the card out.
              "--tmpfs=/var/log/pihole:rw,size=64m,mode=0755"
            ];
          };
        };
      };
    };

    # Made when it is missing and otherwise left alone: Pi-hole gives it to a user of its own, and every switch to a new
    # system runs these rules again, beside a Pi-hole that goes on writing there.
    systemd.tmpfiles.rules = [ "d /var/lib/imagekit/pihole - - - -" ];

    systemd.services = {
      docker-unbound = patient;
      # Wants and not Requires, which is what dependsOn would say: a first start of Unbound that fails would cancel
      # Pi-hole's for good, though Unbound is tried again.
      docker-pihole = patient // {
        after = [ "docker-unbound.service" ];
        wants = [ "docker-unbound.service" ];
      };
    };
  };
}
