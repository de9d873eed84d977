"""Redis with vector search, from wheels, for tests and development."""
