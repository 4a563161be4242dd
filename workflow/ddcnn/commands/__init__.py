"""The commands of ``python -m ddcnn``, one module each: its arguments, and what it prints."""
