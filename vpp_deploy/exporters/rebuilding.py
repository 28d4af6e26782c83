"""Models of bundles, made again for the PyTorch reference: of a configuration and weights that a stranger wrote."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from vpp_deploy.bundle.reader import Bundle
from vpp_deploy.errors import ConfigError
from vpp_deploy.exporters.checkpoint import check_fit, load_strictly
from vpp_deploy.exporters.refusals import refusals_of


def rebuilt(bundle: Bundle, make: Callable[[], nn.Module], tensors: Mapping[str, Tensor]) -> nn.Module:
    """A bundle's model with its weights, in evaluation mode.

    Args:
        bundle: whose model.
        make: makes it with any weights, also on the meta device: shapes are compared before anything is allocated.
        tensors: of the bundle's weights file.

    Raises:
        CheckpointError: the weights do not fit.
        ConfigError: the configuration does not make a model.
    """
    with refusals_of(bundle):
        with torch.device("meta"):
            check_fit(make(), tensors, bundle.weights_path)
        return load_strictly(make(), tensors, bundle.weights_path)


def check_size(bundle: Bundle, size: tuple[int, int] | None, frame_size: tuple[int, int]) -> None:
    """See that a configuration is for the images that the graph takes: some models make tables of that size.

    Raises:
        ConfigError: it is for others.
    """
    if size is not None and size != frame_size:
        raise ConfigError(
            f"bundle {bundle.path}: its model configuration is for images of {size[0]}x{size[1]}, and its graph takes "
            f"{frame_size[0]}x{frame_size[1]}; export it again"
        )
