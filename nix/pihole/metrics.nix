# node_exporter, for this machine alone unless metrics.allowFrom names who else may read it.
{ config, lib, ... }:
let
  cfg = config.imagekit.pihole;
  inherit (config.services.prometheus.exporters.node) port;
in
{
  config = lib.mkIf (cfg.enable && cfg.metrics.enable) {
    services.prometheus.exporters.node = {
      enable = true;
      listenAddress = if cfg.metrics.allowFrom == [ ] then "127.0.0.1" else "0.0.0.0";
      enabledCollectors = [ "systemd" ];
    };
    # The values are addresses and nothing else: judge.nix has looked.
    networking.firewall.extraCommands = lib.concatMapStrings (source: ''
      iptables -A nixos-fw -p tcp -s ${source} --dport ${toString port} -j nixos-fw-accept
    '') cfg.metrics.allowFrom;
  };
}
