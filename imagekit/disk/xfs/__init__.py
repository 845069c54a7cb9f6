"""XFS: its superblock read here, its files by a library in a child process."""
