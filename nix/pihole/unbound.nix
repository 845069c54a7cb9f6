# Unbound's configuration: a validating resolver that asks the root servers itself, for this machine alone.
{
  config,
  lib,
  pkgs,
  ...
}:
let
  cfg = config.imagekit.pihole;
  # Store files are mounted as they are: what NixOS puts into /etc are symbolic links, and those point nowhere inside a
  # container. Key and hints come with nixpkgs, so nothing has to be written on the card.
  configuration = pkgs.writeText "imagekit-unbound.conf" ''
    server:
      interface: 127.0.0.1
      port: ${toString cfg.upstreamPort}
      access-control: 127.0.0.0/8 allow
      username: ""
      chroot: ""
      directory: "/"
      pidfile: ""
      use-syslog: no
      logfile: ""
      verbosity: 0

      root-hints: "/imagekit/root.hints"
      trust-anchor-file: "/imagekit/root.key"
      harden-glue: yes
      harden-dnssec-stripped: yes
      harden-algo-downgrade: yes
      qname-minimisation: yes
      hide-identity: yes
      hide-version: yes

      # 1232 bytes fit into every path without fragments (DNS flag day 2020).
      edns-buffer-size: 1232
      prefetch: yes
      num-threads: 1
      msg-cache-size: 16m
      rrset-cache-size: 32m

      # Answers from outside must not point into the home network (DNS rebinding).
      private-address: 10.0.0.0/8
      private-address: 172.16.0.0/12
      private-address: 192.168.0.0/16
      private-address: 169.254.0.0/16
      private-address: fd00::/8
      private-address: fe80::/10
  '';
in
{
  config = lib.mkIf cfg.enable {
    virtualisation.oci-containers.containers.unbound = {
      entrypoint = "unbound";
      cmd = [
        "-d"
        "-c"
        "/imagekit/unbound.conf"
      ];
      user = "65534:65534";
      volumes = [
        "${configuration}:/imagekit/unbound.conf:ro"
        "${pkgs.dns-root-data}/root.hints:/imagekit/root.hints:ro"
        "${pkgs.dns-root-data}/root.key:/imagekit/root.key:ro"
      ];
      extraOptions = [
        "--cap-drop=ALL"
        "--security-opt=no-new-privileges"
        "--read-only"
      ];
    };

    # "Started" shall mean that it answers, since Pi-hole is started after it. Without the look at the main process the
    # loop would go on for ever when that is gone: systemd waits for it.
    systemd.services.docker-unbound.postStart = ''
      until (exec 3<>/dev/tcp/127.0.0.1/${toString cfg.upstreamPort}) 2>/dev/null; do
        kill -0 "$MAINPID" || exit 1
        sleep 1
      done
    '';
  };
}
