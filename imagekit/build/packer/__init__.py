"""Packer: found, fed, driven, watched and cleaned up after; its binary and plugins are the operator's own."""
