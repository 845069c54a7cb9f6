# What imagekit.toml would say; the key is nobody's.
{
  hostName = "pihole";
  address = "192.168.0.53";
  prefixLength = 24;
  gateway = "192.168.0.1";
  bootstrapDns = [
    "9.9.9.9"
    "1.1.1.1"
  ];
  timeZone = "Europe/Berlin";
  authorizedKeys = [
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIG93bmVyb3duZXJvd25lcm93bmVyb3duZXJvd25lcjE0 nobody@example"
  ];
  interface = null;
  adminUser = "admin";
}
