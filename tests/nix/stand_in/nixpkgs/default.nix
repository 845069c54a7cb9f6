# What `import nixpkgs { … }` gives: a derivation for each name in the record of packages, and the functions that our
# files call. A name that is not in the record is an error, as it is in nixpkgs.
{
  system,
  overlays ? [ ],
  config ? { },
}:
let
  lib = import ./lib.nix;
  names = builtins.attrNames (builtins.fromJSON (builtins.readFile ./packages.json));
  unfree = [
    "packer"
    "vagrant"
  ];

  make =
    name: more:
    derivation {
      inherit name system;
      builder = "/bin/sh";
      args = [
        "-c"
        "exit 1"
      ];
    }
    // {
      pname = name;
    }
    // more;

  # With all that it is given worked out, so that a wrong name in it is found.
  made = name: given: builtins.deepSeq given (make name { inherit given; });

  # A test's machines are functions; called as the test driver would, and its script with them.
  runTest =
    test:
    let
      machine.networking.primaryIPAddress = "192.168.1.2";
      call =
        node:
        node {
          inherit lib;
          pkgs = final;
          config = machine;
        };
      nodes = builtins.mapAttrs (_: call) test.nodes;
      script = test.testScript { nodes = builtins.mapAttrs (_: _: machine) nodes; };
    in
    made test.name {
      inherit script;
      nodes = builtins.mapAttrs (_: node: builtins.removeAttrs node [ "imports" ]) nodes;
    };

  # As nixpkgs: a package that is not free is an error until a predicate takes it.
  package =
    name:
    if builtins.elem name unfree && !(config.allowUnfreePredicate or (_: false)) { pname = name; } then
      throw "${name} is not free"
    else
      make name { };

  callWith =
    pkgs: file: arguments:
    let
      function = import file;
    in
    function (builtins.intersectAttrs (builtins.functionArgs function) pkgs // arguments);

  application =
    arguments:
    made "${arguments.pname}-${arguments.version}" arguments
    // {
      inherit (arguments) meta;
      overridePythonAttrs = change: application (arguments // change arguments);
    };

  platform = {
    isLinux = lib.hasSuffix "-linux" system;
    inherit system;
  };

  base = lib.genAttrs names package // {
    inherit lib;
    stdenv = {
      hostPlatform = platform;
      buildPlatform = platform // {
        canExecute = _: true;
      };
    };
    pkgs = final;
    callPackage = callWith final;
    mkShell = made "shell";
    runCommand =
      name: environment: script:
      made name (environment // { inherit script; });
    dockerTools.buildLayeredImage = arguments: made (baseNameOf arguments.name) arguments;
    testers.runNixOSTest = runTest;
    python3Packages = {
      python = {
        pythonVersion = "3.13";
        sitePackages = "lib/python3.13/site-packages";
      };
      buildPythonApplication = application;
    }
    // lib.genAttrs (builtins.fromJSON (builtins.readFile ./python.json)) (name: make name { });
  };

  final = builtins.foldl' (pkgs: overlay: pkgs // overlay final pkgs) base overlays;
in
final
