"""Tests of the gallery stores' own parts."""
