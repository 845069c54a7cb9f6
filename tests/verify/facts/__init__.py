"""Tests of the facts that checks share."""
