"""Comparison of an engine with the PyTorch reference over a sequence of frames."""
