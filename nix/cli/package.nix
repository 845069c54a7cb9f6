# imagekit, with the programs that it drives on its PATH. Packer and Vagrant are not among them: their licence is not
# free, so they are found on the user's own PATH or come with the development shell.
{
  lib,
  stdenv,
  python3Packages,
  installShellFiles,
  help2man,
  makeBinaryWrapper,
  apt,
  e2fsprogs,
  git,
  mmdebstrap,
  mtools,
  nix,
  openssh,
  qemu,
  rsync,
  util-linux,
  zstd,
}:
let
  root = ../..;
  inherit (lib.importTOML (root + "/pyproject.toml")) project;
  requirements = import ./requirements.nix { inherit (python3Packages.python) pythonVersion; };

  everywhere = [
    e2fsprogs
    git
    mtools
    nix
    openssh
    qemu
    rsync
    zstd
  ];
  # Building from Debian's packages takes Linux; elsewhere it is done on another host.
  onLinux = [
    apt
    mmdebstrap
    util-linux
  ];
in
python3Packages.buildPythonApplication {
  pname = "imagekit";
  version = builtins.head (
    builtins.elemAt (builtins.split "__version__ = \"([^\"]+)\"" (
      builtins.readFile (root + "/imagekit/__init__.py")
    )) 1
  );
  pyproject = true;

  # What a wheel is made of, by name: results, caches and a site's values stay outside.
  src = lib.fileset.toSource {
    inherit root;
    fileset = lib.fileset.unions [
      (root + "/LICENSE")
      (root + "/README.md")
      (root + "/flake.lock")
      (root + "/flake.nix")
      (root + "/imagekit")
      (lib.fileset.difference (root + "/nix") (lib.fileset.maybeMissing (root + "/nix/site.json")))
      (root + "/packer")
      (root + "/pyproject.toml")
      (root + "/setup.py")
      (root + "/vagrant")
    ];
  };

  build-system = [ python3Packages.setuptools ];
  dependencies = map (name: python3Packages.${name}) (requirements project.dependencies);
  # nixpkgs has one version of each package, at times older than what we ask for elsewhere; the tests decide.
  pythonRelaxDeps = true;

  nativeBuildInputs = [
    installShellFiles
    help2man
    makeBinaryWrapper
  ];
  makeWrapperArgs = [
    "--suffix"
    "PATH"
    ":"
    (lib.makeBinPath (everywhere ++ lib.optionals stdenv.hostPlatform.isLinux onLinux))
  ];

  # Both are written by the program itself, which has to run here.
  postInstall = lib.optionalString (stdenv.buildPlatform.canExecute stdenv.hostPlatform) ''
    export PYTHONPATH="$out/${python3Packages.python.sitePackages}:$PYTHONPATH"
    for shell in bash zsh fish; do
      _IMAGEKIT_COMPLETE="''${shell}_source" $out/bin/imagekit > imagekit.$shell
    done
    installShellCompletion imagekit.{bash,zsh,fish}
    help2man --no-info --section 1 --name ${lib.escapeShellArg project.description} \
      --version-string "$version" --output imagekit.1 $out/bin/imagekit
    installManPage imagekit.1
  '';

  pythonImportsCheck = [ "imagekit" ];

  meta = {
    inherit (project) description;
    license = lib.licenses.mit;
    mainProgram = "imagekit";
    platforms = lib.platforms.unix;
  };
}
