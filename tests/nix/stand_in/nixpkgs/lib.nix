# What of nixpkgs' lib the outputs use beside the modules; see ../lib.nix.
(import ../lib.nix)
// rec {
  importTOML = path: builtins.fromTOML (builtins.readFile path);
  makeBinPath = packages: builtins.concatStringsSep ":" (map (package: "${package}/bin") packages);
  getExe = package: "${package}/bin/${package.meta.mainProgram}";
  mapAttrsToList = write: set: map (name: write name set.${name}) (builtins.attrNames set);
  licenses.mit = "MIT";
  platforms.unix = [ "unix" ];
  # Paths are there or this fails; what they would come to is nixpkgs' business.
  fileset = {
    unions =
      parts: builtins.concatLists (map (part: if builtins.isList part then part else [ part ]) parts);
    difference = one: _: [ one ];
    maybeMissing = _: [ ];
    fileFilter = _: directory: [ directory ];
    toSource =
      { root, fileset }:
      if builtins.all builtins.pathExists fileset then
        toString root
      else
        throw "a part of the source is missing";
  };
}
