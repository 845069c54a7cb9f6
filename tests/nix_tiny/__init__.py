"""Tests of the tiny flake, which other tests build."""
