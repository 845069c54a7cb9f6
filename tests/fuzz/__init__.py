"""Hostile bytes for everything that reads an image: one function for each reader, mutated seeds, and atheris."""
