# A stand-in for nixpkgs' packages: names instead of builds. Nothing can be built from it.
let
  package = name: {
    inherit name;
    pname = name;
    outPath = "/stand-in/${name}";
    drvPath = "/stand-in/${name}.drv";
    type = "derivation";
  };
in
{
  writeText = name: text: package name // { inherit text; };
  runCommandLocal =
    name: _: script:
    package name // { inherit script; };
  dockerTools.pullImage =
    {
      imageName,
      imageDigest,
      finalImageName,
      finalImageTag,
      hash,
    }:
    package "image"
    // {
      pulled = "${imageName}@${imageDigest} ${hash} as ${finalImageName}:${finalImageTag}";
    };
}
