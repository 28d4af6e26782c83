"""From a PyTorch model to a bundle: checkpoints, trace, precision, checks, writing. Only what uses PyTorch loads it."""

from vpp_deploy.exporters.random_weights import RandomWeights

__all__ = ["RandomWeights"]
