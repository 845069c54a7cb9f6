"""A new system on a running NixOS machine, which goes back by itself when it does not answer afterwards.

Nothing here builds: :mod:`imagekit.pipeline.deploy` brings the closure's path and the machine that has it.
"""
