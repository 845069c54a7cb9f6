"""ext2, ext3 and ext4: files, attributes, and which blocks are whose."""
