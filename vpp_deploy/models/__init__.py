"""The PyTorch reference models: what is true."""
