"""Disk image files: raw, and what holds a raw disk inside; ``open`` tells them apart by content."""
