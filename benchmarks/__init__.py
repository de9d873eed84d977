"""Timed and judged work. Every figure the documentation quotes is written by a command of this package."""
