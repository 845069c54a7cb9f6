"""Tests of imagekit.definition."""
