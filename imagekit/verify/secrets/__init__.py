"""What secrets look like, how they are found fast, and which passwords everybody knows."""
