"""What is on a disk, read-only, bounds-checked, without root: images, partition tables, filesystems, trees.

Each reader is imported from its own file, by whoever has met what it reads: loading all of them takes longer than a
look at a disk.
"""
