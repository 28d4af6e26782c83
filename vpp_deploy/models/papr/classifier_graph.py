"""The function that is exported: uint8 images or clips in; logits, significance maps and kept patches out.

The PyTorch reference engine runs this very module, so that parity compares an engine with what was traced.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from vpp_deploy.bundle.papr_manifest import ClassifierPreprocessing, PruningPoint
from vpp_deploy.models.papr.model import PaprModel
from vpp_deploy.models.papr.output import PaprOutput

IMAGES = "images"
CLIPS = "clips"


class ClassifierGraph(nn.Module):
    """A pruned model with its normalisation.

    Args:
        model: the pruned model.
        preprocessing: gives mean and standard deviation, in 0..255.
    """

    def __init__(self, model: PaprModel, preprocessing: ClassifierPreprocessing) -> None:
        super().__init__()
        self.model = model
        self.mean: Tensor
        self.std: Tensor
        self.register_buffer("mean", torch.tensor(preprocessing.mean), persistent=False)
        self.register_buffer("std", torch.tensor(preprocessing.std), persistent=False)
        self.eval()

    def forward(self, pixels: Tensor) -> PaprOutput:
        """Classify.

        Args:
            pixels: `[B, H, W, 3]` uint8 RGB images, or `[B, T, H, W, 3]` clips.
        """
        channels_first = pixels.float().movedim(-1, 1)  # TensorRT-RTX does not transpose uint8
        per_channel = (3,) + (1,) * (channels_first.ndim - 2)
        normalised = (channels_first - self.mean.view(per_channel)) / self.std.view(per_channel)
        output: PaprOutput = self.model(normalised)
        return output


def point_names(model: PaprModel) -> tuple[str, ...]:
    """Names of the places where a model prunes, in the order of `PaprOutput`."""
    base: Any = model.base
    if model.keep == 1:
        return ()
    if hasattr(base, "stages"):
        return tuple(f"stage_{stage}" for stage in base.stages)
    return ("tubelets",) if hasattr(base, "grid") else ("patches",)


def pruning_points(model: PaprModel, output: PaprOutput) -> tuple[PruningPoint, ...]:
    """Where a model prunes, as its output for some input shows it; shapes alone are looked at."""
    return tuple(
        PruningPoint(
            name=name,
            grid=tuple(significance.shape[1:]),  # type: ignore[arg-type]
            keep_ratio=model.keep,
            kept=kept.shape[1],
            kept_output=f"kept_{name}",
            significance_output=f"significance_{name}",
        )
        for name, significance, kept in zip(point_names(model), output.significance, output.kept, strict=True)
    )
