"""The coarse problem: a dense net over all local decisions, and all nets trained as one."""
