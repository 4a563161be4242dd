"""The commands of ``ddcnn``, one module each: its arguments, and what it prints."""
