"""Tests of the results and the page made of them."""
