"""Engines that run translators: Triton, TorchScript in process, and a double."""
