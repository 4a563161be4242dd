"""What the figures of a page show of a study, with caption and text alternative."""
