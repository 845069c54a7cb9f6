"""Partition tables: GPT with both its copies, MBR with logical partitions; ``table`` tries one after the other."""
