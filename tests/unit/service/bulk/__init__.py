"""Tests of service.bulk."""
