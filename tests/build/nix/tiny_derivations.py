"""Flakes of derivations whose builder is /bin/sh: the real nix(1) builds and refuses them in a tenth of a second."""

from pathlib import Path

_FLAKE = """\
{{
  outputs = {{ self }}: let
    step = name: script: derivation {{
      inherit name; system = "x86_64-linux"; builder = "/bin/sh"; args = [ "-c" "PATH=/usr/bin:/bin; ${{script}}" ];
    }};
    first = step "first-1.0" ''echo '@nix {{ "action": "setPhase", "phase": "buildPhase" }}'; echo one; echo 1 > $out'';
    second = step "second-2.1-beta" ''cat ${{first}}; echo 2 > $out'';
    third = step "third-3" ''cat ${{second}}; echo 3 > $out'';
  in {{
    packages.x86_64-linux = {{
      inherit first second third;
      broken = step "broken-1.0" ''echo "some work"; echo boom >&2; exit 3'';
      foreign = derivation {{ name = "foreign"; system = "riscv32-netbsd"; builder = "/bin/sh"; }};
      random = step "random-1.0" ''mkdir $out; date +%s%N > $out/when; echo same > $out/same'';
      forged = step "forged-1.0" ''echo '@nix {{"action":"msg","level":0,"msg":"{forged}"}}'; exit 1'';
      noisy = step "noisy-1.0" ''for i in $(seq 300); do echo "line $i"; done; exit 1'';
    }};
  }};
}}
"""


def make_flake(directory: Path, forged: str = "note: hello") -> Path:
    """Write the flake into ``directory``, which is made; ``forged`` is what one builder pretends that Nix says."""
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "flake.nix").write_text(_FLAKE.format(forged=forged))
    return directory
