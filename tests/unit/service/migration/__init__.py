"""Migration jobs."""
