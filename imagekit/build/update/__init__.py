"""Newer versions of what a project has locked: inputs of a flake, containers by digest, media by checksum.

Each source is looked up by itself and gives the new bytes of the one file that holds it; writing them is a step of its
own, so that a look changes nothing.
"""
