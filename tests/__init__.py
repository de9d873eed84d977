"""Tests: units mirror the tree, integration meets real servers, pipeline goes from training to search."""
