# The web page's password: a file of the machine that is mounted into the container, never a value of this configuration.
{
  config,
  lib,
  options,
  ...
}:
let
  cfg = config.imagekit.pihole;
  ours = cfg.passwordFile == options.imagekit.pihole.passwordFile.default;
in
{
  config = lib.mkIf cfg.enable {
    virtualisation.oci-containers.containers.pihole = {
      # Version 6 looks for a file of this name in /run/secrets and sets its own password variable from it.
      environment.WEBPASSWORD_FILE = "imagekit-web-password";
      # --mount and not --volume: that would make a directory where the file is missing.
      extraOptions = [
        "--mount=type=bind,source=${cfg.passwordFile},destination=/run/secrets/imagekit-web-password,readonly"
      ];
    };

    # A card that was flashed a minute ago has no password yet, and a DNS server must not wait for one. Written aside
    # and renamed, so that a power cut leaves a whole password or none.
    systemd.services.imagekit-web-password = lib.mkIf ours {
      description = "Random password for Pi-hole's web page";
      wantedBy = [ "docker-pihole.service" ];
      before = [ "docker-pihole.service" ];
      unitConfig.ConditionPathExists = "!${cfg.passwordFile}";
      serviceConfig = {
        Type = "oneshot";
        UMask = "0077";
      };
      script = ''
        mkdir -p ${lib.escapeShellArg (dirOf cfg.passwordFile)}
        new=${lib.escapeShellArg cfg.passwordFile}.new
        head -c 15 /dev/urandom | base64 > "$new"
        sync "$new"
        mv "$new" ${lib.escapeShellArg cfg.passwordFile}
      '';
    };
  };
}
