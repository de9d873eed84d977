"""Tests of the embedded store's own parts."""
