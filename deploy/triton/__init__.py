"""Triton Inference Server on a machine without a GPU."""
