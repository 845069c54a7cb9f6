"""The proof by booting: two clones are started, asked, and compared."""
