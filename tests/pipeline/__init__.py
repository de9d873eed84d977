"""From training to search, by the commands a user runs."""
