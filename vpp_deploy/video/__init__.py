"""Decode, letterbox, draw and encode video."""
