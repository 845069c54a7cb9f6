# Stands where nixpkgs has its module for cards; our own modules only import it.
{ }
