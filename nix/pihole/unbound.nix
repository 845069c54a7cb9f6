# Unbound's configuration: a validating resolver that asks the root servers itself, for this machine alone.
{
  config,
  lib,
  pkgs,
  ...
}:
let
  cfg = config.imagekit.pihole;
  # A store file, mounted as it is: what NixOS puts into /etc are symbolic links, which point nowhere inside a container.
  # The anchors are IANA's (root-anchors.xml): of the key of 2017, and of that of 2024, which signs the root since October
  # 2026; the root.key of nixpkgs that was looked at had the first alone. They are fixed, because following a change by
  # itself (RFC 5011) has to write a file: the next key comes with a newer imagekit, years after it is published.
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

      trust-anchor: ". IN DS 20326 8 2 E06D44B80B8F1D39A95C0B0D7C65D08458E880409BBC683457104237C7F8EC8D"
      trust-anchor: ". IN DS 38696 8 2 683D2D0ACB8C9B712A1948B27F741219298D0A450D612C483AF444A4C0FB2B16"
      harden-glue: yes
      harden-dnssec-stripped: yes
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
      volumes = [ "${configuration}:/imagekit/unbound.conf:ro" ];
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
