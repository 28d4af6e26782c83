"""Backends that build and run engines; nothing here needs PyTorch."""
