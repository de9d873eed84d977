"""Whole galleries at a time: Parquet in and out, through a gateway or beside it."""
