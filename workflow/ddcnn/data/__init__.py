"""Data sets: which there are, how they are read, and their cards."""
