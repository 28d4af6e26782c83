"""Tracked instances: an engine against PyTorch, frame by frame, and what explains a difference."""
