# What the machine is apart from its service: who may enter, what is written on the card, how it goes back.
{
  imports = [
    ./access.nix
    ./card.nix
    ./generations.nix
    ./small.nix
  ];
}
