# Development verbs; `just` alone runs the quick ones. Each is one line that works without just, too.
default: test lint

# Unit tests: seconds.
test *args:
    .venv/bin/pytest {{args}}

# Real builds, boots and clones: minutes.
integration *args:
    .venv/bin/pytest -m integration {{args}}

# What virt-sysprep leaves, found: needs guestfs-tools and linux-image-cloud-amd64.
sysprep *args:
    .venv/bin/pytest -m integration tests/integration/sysprep.py {{args}}

# An SD image in a real Vagrant VM under libvirt, started by hand: minutes, and a box made by imagekit itself.
vagrant *args:
    .venv/bin/pytest -m integration tests/integration/vagrant.py {{args}}

# Style and types.
lint:
    .venv/bin/ruff check
    .venv/bin/ruff format --check
    .venv/bin/mypy

# Put the code into its one format.
fmt:
    .venv/bin/ruff check --fix
    .venv/bin/ruff format

# What CI runs.
check:
    .ci/run

# What this machine needs, for work on imagekit.
setup:
    .ci/setup --tests

# Packer and its plugins, built from their pinned modules; prints where they are.
packer-tools *args:
    .ci/packer-tools {{args}}

# Ours against the peers, in one session; prints ratios.
benchmark name:
    .venv/bin/python benchmarks/{{name}}.py

# The reference of the checks, written anew from the checks.
checks:
    .venv/bin/imagekit verify --list-checks --format markdown > docs/checks.md

# The reference of the Packer lint's rules, written anew from the rules.
packer-lint:
    .venv/bin/python -c 'from imagekit.build.packer.lint import render_rules; print(render_rules(), end="")' > docs/packer-lint.md
