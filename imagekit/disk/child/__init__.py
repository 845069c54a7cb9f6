"""C libraries that read hostile bytes, in a process of their own with limits."""
