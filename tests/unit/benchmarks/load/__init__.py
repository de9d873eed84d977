"""Tests of the load generator: what can be wrong in measuring."""
