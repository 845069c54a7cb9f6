# The packages of one system. The image is Linux for ARM, and is listed where it is built.
{
  pkgs,
  system,
  machines,
}:
{
  default = pkgs.imagekit;
  inherit (pkgs) imagekit;
}
// (
  if system == "aarch64-linux" then
    {
      pihole-image = machines.pihole.config.system.build.sdImage;
      pihole-test-image = machines.pihole-test.config.system.build.sdImage;
    }
  else
    { }
)
