"""FAT12, FAT16 and FAT32: files, and which clusters are free."""
