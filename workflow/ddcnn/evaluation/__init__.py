"""What decisions are worth: the methods that make them, their scores and intervals."""
