"""Models for NVIDIA's Triton Inference Server: a repository is written here, and its models run here.

What a repository holds is thin; the models themselves are `video.py` and `classifier.py`, imported in the server.
"""
