# The package with its quick tests: those that need no Debian, no root and no library that nixpkgs lacks. All of them run
# on Debian and Ubuntu, by .ci/run.
{
  lib,
  imagekit,
  python3Packages,
}:
let
  root = ../..;
in
imagekit.overridePythonAttrs (package: {
  pname = "imagekit-tests";
  src = lib.fileset.toSource {
    inherit root;
    fileset = lib.fileset.unions [
      (root + "/LICENSE")
      (root + "/README.md")
      (root + "/docs")
      (root + "/flake.lock")
      (root + "/flake.nix")
      (root + "/imagekit")
      (root + "/nix")
      (root + "/packer")
      (root + "/pyproject.toml")
      (root + "/setup.py")
      (root + "/tests")
      (root + "/vagrant")
    ];
  };
  nativeCheckInputs = (package.nativeCheckInputs or [ ]) ++ [
    python3Packages.hypothesis
    python3Packages.pytestCheckHook
    python3Packages.setuptools
  ];
  doCheck = true;
  enabledTestPaths = [
    "tests/definition"
    "tests/settings"
    "tests/test_errors.py"
    "tests/test_image.py"
  ];
})
