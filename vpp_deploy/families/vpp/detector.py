"""The VPP detector: backbone and head as one pure function `(frame, state) -> (outputs, state')`."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor, nn

from vpp_deploy.families.vpp.backbone import BackboneOutput, BackboneState, SelectionMode, SelectiveViTAdapter
from vpp_deploy.families.vpp.config import DetectorConfig
from vpp_deploy.families.vpp.mask2former import HeadOutput, Mask2FormerHead


class DetectorOutput(NamedTuple):
    """One frame's outputs and the state for the next frame.

    Attributes:
        backbone: feature maps and selections.
        head: mask features and query features.
        state: for the next frame; None when the schedule is dense.
    """

    backbone: BackboneOutput
    head: HeadOutput
    state: BackboneState | None

    @property
    def queries(self) -> Tensor:
        """Final query features `[B, Q + T, C]`, which are fed back as track queries."""
        return self.head.queries[-1]


class VppDetector(nn.Module):
    """A VPP detector. Two phases: `state=None` is the first frame of a video (`init`), else a later one (`step`).

    Its parameter names under the prefix `detector.` are those of the official checkpoints.

    Args:
        config: everything but the weights.
    """

    def __init__(self, config: DetectorConfig) -> None:
        super().__init__()
        self.config = config
        self.backbone = SelectiveViTAdapter(config.backbone, config.keep, config.reference_tokens)
        self.panoptic_head = Mask2FormerHead(config.backbone.width, len(config.class_names), config.head)

    def forward(
        self,
        image: Tensor,
        state: BackboneState | None = None,
        track_queries: Tensor | None = None,
        track_valid: Tensor | None = None,
        mode: SelectionMode = "topk",
        noise: Tensor | None = None,
    ) -> DetectorOutput:
        """One frame.

        Args:
            image: `[B, 3, H, W]` RGB, normalised, zero-padded; H and W multiples of 32.
            state: from the previous frame; None on the first one.
            track_queries: `[B, T, C]` features of the tracks, in order of first appearance; None for none.
            track_valid: `[B, T]` bool, which slots hold a track; None means all.
            mode: `topk` (static K) or `threshold` (as trained; batch 1).
            noise: `[4, B, N, 2]` standard Gumbel noise for the selection points; None for none.
        """
        backbone = self.backbone(image, state, mode, noise)
        head = self.panoptic_head(backbone.features, track_queries, track_valid)
        return DetectorOutput(backbone, head, backbone.state)
