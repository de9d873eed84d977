"""Tests of the report: what its figures and tables are drawn from, not their pixels."""
