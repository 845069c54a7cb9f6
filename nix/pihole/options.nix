# Every option of imagekit.pihole. The values of a site are written into nix/site.json by `imagekit build`.
{ config, lib, ... }:
let
  inherit (lib) mkEnableOption mkOption types;
  cfg = config.imagekit.pihole;
  ipv4 = import ../ipv4.nix;
  pinned = builtins.fromJSON (builtins.readFile ./images.json);

  container = name: {
    name = mkOption {
      type = types.str;
      default = pinned.${name}.name;
      description = "The image's name, with its registry.";
    };
    tag = mkOption {
      type = types.str;
      default = pinned.${name}.tag;
      description = "The tag that the digest was read from. It is shown to people; the digest decides.";
    };
    digest = mkOption {
      type = types.str;
      default = pinned.${name}.digest;
      description = "Digest of the image's index, which names one image for each architecture.";
    };
    hash = mkOption {
      type = types.nullOr types.str;
      default = pinned.${name}.hash;
      example = "sha256-ypTkOY1Hy3tBzdrVbXNnk2LQOsxYVdmoxpWpLAjnX5I=";
      description = ''
        Hash of the image as `nix-prefetch-docker` prints it. With it the image is in the Nix store, on the card and
        there at the first boot; with null it is pulled through the bootstrap resolvers.
      '';
    };
  };
in
{
  options.imagekit.pihole = {
    enable = mkEnableOption "Pi-hole and Unbound in containers, with a static address of this machine";

    hostName = mkOption {
      type = types.str;
      default = "pihole";
      description = "Name of the machine in the network.";
    };
    address = mkOption {
      type = types.str;
      default = "192.168.0.53";
      description = "IPv4 address of the machine: what the other machines' DNS server is set to.";
    };
    prefixLength = mkOption {
      type = types.ints.between 1 30;
      default = 24;
      description = "How many bits of the address name the network.";
    };
    gateway = mkOption {
      type = types.str;
      default = "192.168.0.1";
      description = "IPv4 address of the router.";
    };
    interface = mkOption {
      type = types.nullOr types.str;
      default = null;
      example = "end0";
      description = ''
        Name of the port that gets the address. With null it is whichever wired port the machine has: a Raspberry Pi 4
        calls its own `end0`, a Raspberry Pi 3 by its place on USB, such as `enu1u1`; older systems said `eth0`.
      '';
    };
    bootstrapDns = mkOption {
      type = types.listOf types.str;
      default = [
        "9.9.9.9"
        "1.1.1.1"
      ];
      description = ''
        Resolvers that this machine itself asks: for the time, for container images, for block lists. A machine that
        asks its own Pi-hole cannot fetch that Pi-hole.
      '';
    };
    timeZone = mkOption {
      type = types.str;
      default = "Europe/Berlin";
      description = "Time zone of the machine and of Pi-hole's statistics.";
    };
    authorizedKeys = mkOption {
      type = types.listOf types.str;
      default = [ ];
      example = [ "ssh-ed25519 AAAA… you@laptop" ];
      description = "Public SSH keys that may log in. There are no passwords, so at least one is needed.";
    };
    adminUser = mkOption {
      type = types.str;
      default = "admin";
      description = "The one user of the machine, who may become root without a password.";
    };
    upstreamPort = mkOption {
      type = types.port;
      default = 5335;
      description = "Port of Unbound on the loopback address; Pi-hole asks there.";
    };
    passwordFile = mkOption {
      type = types.str;
      default = "/var/lib/imagekit/web-password";
      description = ''
        File on the machine with the password of Pi-hole's web page, never in the Nix store. The default one is made
        with a random password when it is missing; any other must be brought by you.
      '';
    };
    images = {
      pihole = container "pihole";
      unbound = container "unbound";
    };
    metrics = {
      enable = mkOption {
        type = types.bool;
        default = true;
        description = "Whether node_exporter gives the machine's measurements to Prometheus.";
      };
      allowFrom = mkOption {
        type = types.listOf types.str;
        default = [ ];
        example = [ "192.168.0.10" ];
        description = "IPv4 addresses or networks that may read them; nobody but the machine itself by default.";
      };
    };
    generations = mkOption {
      type = types.ints.between 2 20;
      default = 5;
      description = "How many generations of the system are kept on the card and in the boot menu.";
    };

    testing = {
      enable = mkEnableOption ''
        the name and address below instead of the machine's own, so that a second card can be tried beside the live
        machine'';
      hostName = mkOption {
        type = types.str;
        default = "${cfg.hostName}-test";
        defaultText = "the host name with -test";
        description = "Name of the machine while it is tested.";
      };
      address = mkOption {
        type = types.str;
        default = ipv4.next cfg.address;
        defaultText = "the address after the live one";
        description = "Address of the machine while it is tested.";
      };
    };

    identity = mkOption {
      type = types.attrsOf types.str;
      internal = true;
      readOnly = true;
      default =
        if cfg.testing.enable then
          { inherit (cfg.testing) hostName address; }
        else
          { inherit (cfg) hostName address; };
      description = "Name and address in force: the machine's own, or those for testing.";
    };
  };
}
