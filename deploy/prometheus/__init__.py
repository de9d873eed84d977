"""Prometheus: what it scrapes, and how to run it without installing it."""
