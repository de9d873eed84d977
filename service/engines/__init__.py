"""Engines that run translators: Triton, ONNX and TorchScript in process, and a double."""
