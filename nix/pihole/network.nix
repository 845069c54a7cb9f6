# One wired port with one static address, and resolvers that are never this machine itself.
{ config, lib, ... }:
let
  cfg = config.imagekit.pihole;
in
{
  config = lib.mkIf cfg.enable {
    networking = {
      inherit (cfg.identity) hostName;
      useDHCP = false;
      useNetworkd = true;
      # 22 is opened by the SSH server's own module.
      firewall = {
        enable = true;
        allowedTCPPorts = [
          53
          80
        ];
        allowedUDPPorts = [ 53 ];
      };
      # resolv.conf is ours, so that nobody puts 127.0.0.1 into it.
      resolvconf.enable = false;
    };
    environment.etc."resolv.conf".text = lib.concatMapStrings (
      server: "nameserver ${server}\n"
    ) cfg.bootstrapDns;

    # Its stub listener has port 53 of the loopback address, which Pi-hole needs.
    services.resolved.enable = false;

    systemd.network = {
      # By type and not by name: the onboard port is end0 on a Pi 4 and on USB, enu1u1, on a Pi 3. "Kind" is what Docker's
      # bridges and pairs have and hardware has not (systemd.network(5), and systemd's own 80-ethernet.network.example).
      networks."10-imagekit-wired" = {
        matchConfig =
          if cfg.interface != null then
            { Name = cfg.interface; }
          else
            {
              Type = "ether";
              Kind = "!*";
            };
        address = [ "${cfg.identity.address}/${toString cfg.prefixLength}" ];
        gateway = [ cfg.gateway ];
        networkConfig.DHCP = "no";
        linkConfig.RequiredForOnline = "routable";
      };
      # A board with a second, empty port is online all the same.
      wait-online.anyInterface = true;
    };

    time = {
      inherit (cfg) timeZone;
    };
    # A Raspberry Pi has no clock of its own, and a wrong time makes every DNSSEC signature wrong. Names of time servers
    # are asked of the bootstrap resolvers, so this does not wait for Unbound.
    services.timesyncd.enable = true;
  };
}
