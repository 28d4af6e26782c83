"""From a PyTorch model to a bundle: trace, check, write."""

from vpp_deploy.exporters.exporter import export
from vpp_deploy.exporters.random_weights import RandomWeights

__all__ = ["RandomWeights", "export"]
