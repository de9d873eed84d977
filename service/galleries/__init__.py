"""Stores of enrolled faces: embedded on disk, and Redis."""
