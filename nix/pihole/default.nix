# Pi-hole and Unbound as a service of this machine: what may be said about it, and what follows from that.
{
  imports = [
    ./options.nix
    ./problems.nix
    ./network.nix
    ./unbound.nix
    ./containers.nix
    ./password.nix
    ./metrics.nix
  ];
}
