# What pyproject.toml asks for, as names of nixpkgs' Python packages: "backports.zstd>=1; python_version < '3.14'" is
# backports-zstd, and only for a Python older than 3.14. Versions are nixpkgs' own. Plain Nix, no nixpkgs.
{ pythonVersion }:
let
  inherit (builtins)
    compareVersions
    filter
    head
    isString
    match
    replaceStrings
    split
    ;
  lower = replaceStrings (chars "ABCDEFGHIJKLMNOPQRSTUVWXYZ") (chars "abcdefghijklmnopqrstuvwxyz");
  chars =
    text:
    filter (part: isString part && part != "") (
      map (p: if isString p then p else head p) (split "(.)" text)
    );

  # PEP 503: runs of hyphens, dots and underscores are one hyphen.
  normalise = name: builtins.concatStringsSep "-" (filter isString (split "[-_.]+" (lower name)));

  isWanted =
    requirement:
    let
      below = match ".*; *python_version < '([0-9.]+)'.*" requirement;
    in
    below == null || compareVersions pythonVersion (head below) < 0;
in
requirements:
map (requirement: normalise (head (match "([A-Za-z0-9._-]+).*" requirement))) (
  filter isWanted requirements
)
