# Stands where a site's key will be, so that the system can be evaluated in a checkout. Its 32 bytes are the SHA-256 of
# "imagekit: nobody has the other half of this key": nobody has a private half of that.
{
  key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAID2iSnA4K9q/BzuALhj/n/OhZw8envBmKdymkAQEscSD placeholder-that-nobody-can-log-in-with";
  sentence =
    "this system has a placeholder instead of an SSH key and is not for building: put your key into imagekit.toml and"
    + " run `imagekit build pihole`, or import nixosModules.pihole into a flake of your own";
}
