# Derivations whose builder is a shell, with the programs of the machine: no sandbox, as nix.conf must say.
{ system }:
rec {
  programs = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:/run/current-system/sw/bin";

  run =
    name: script: values:
    derivation (
      {
        inherit name system;
        builder = "/bin/sh";
        args = [
          "-euc"
          script
        ];
        PATH = programs;
      }
      // values
    );

  # A file.
  write = name: text: run name ''printf '%s\n' "$text" > "$out"'' { inherit text; };

  # A directory with one file.
  place =
    name: file: text:
    run name ''mkdir -p "$out/$(dirname "$file")"; printf '%s\n' "$text" > "$out/$file"'' { inherit file text; };

  # A directory of symbolic links: where they are → where they point.
  link =
    name: links:
    run name
      ''printf '%s\n' "$links" | while read -r at to; do mkdir -p "$out/$(dirname "$at")"; ln -s "$to" "$out/$at"; done''
      { links = builtins.concatStringsSep "\n" (map (at: "${at} ${links.${at}}") (builtins.attrNames links)); };
}
