"""From a PyTorch model to a bundle: trace, check, write."""
