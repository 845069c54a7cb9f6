"""What single checks accept and refuse, beyond the dirt that each of them must report."""
