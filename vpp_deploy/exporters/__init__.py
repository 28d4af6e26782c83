"""From a PyTorch model to a bundle: trace, check, write."""

from vpp_deploy.exporters.exporter import RandomWeights, export

__all__ = ["RandomWeights", "export"]
