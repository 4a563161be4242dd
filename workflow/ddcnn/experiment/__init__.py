"""What a configuration asks for: its runs, its jobs and their files. No torch."""
