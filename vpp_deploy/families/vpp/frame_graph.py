"""The function that is exported: one uint8 frame in, compact detections and the next state out.

The PyTorch reference engine runs this very module, so that parity compares an engine with what was traced.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn

from vpp_deploy.errors import ExportError
from vpp_deploy.families.vpp.backbone import BackboneState
from vpp_deploy.families.vpp.config import IMAGE_MEAN, IMAGE_STD, PATCH_SIZE
from vpp_deploy.families.vpp.detector import DetectorOutput, VppDetector
from vpp_deploy.ops import gather_tokens, select_tokens

SIZE_DIVISOR = 32


@dataclass(frozen=True)
class GraphOptions:
    """What an export fixes besides the model.

    Attributes:
        frame_size: height and width in pixels, multiples of 32.
        max_tracks: track query slots.
        max_detections: candidate queries that leave the graph.
        new_score: score threshold of learned queries (tracker rule 1).
        track_score: score threshold of track queries (tracker rule 1).
        selection_noise: whether the graph takes Gumbel noise for the selection points.
    """

    frame_size: tuple[int, int]
    max_tracks: int = 50
    max_detections: int = 50
    new_score: float = 0.3
    track_score: float = 0.25
    selection_noise: bool = False

    def __post_init__(self) -> None:
        if any(side <= 0 or side % SIZE_DIVISOR for side in self.frame_size):
            h, w = self.frame_size
            fit = "x".join(str(max(SIZE_DIVISOR, -(-side // SIZE_DIVISOR) * SIZE_DIVISOR)) for side in self.frame_size)
            raise ExportError(f"frame size {h}x{w}: both sides must be multiples of {SIZE_DIVISOR}; use {fit}")
        for name in ("max_tracks", "max_detections"):
            if getattr(self, name) < 1:
                raise ExportError(f"{name} is {getattr(self, name)}; it must be at least 1")

    @property
    def token_grid(self) -> tuple[int, int]:
        """Rows and columns of tokens."""
        return self.frame_size[0] // PATCH_SIZE, self.frame_size[1] // PATCH_SIZE


class FrameOutput(NamedTuple):
    """Outputs of one frame, without batch dimension; field names are the graph's output names.

    Attributes:
        class_logits: `[M, classes + 1]` of the candidate queries, ascending query index.
        mask_logits: `[M, H/4, W/4]`.
        query_features: `[M, C]`, fed back as track queries.
        query_indices: `[M]` int32: below the number of learned queries, one of them; from there on, a track slot.
        candidates: `[1]` int32, how many queries could still pass the tracker's thresholds. A detection's score never
            exceeds its class probability, so the other queries cannot matter; more than M means some were left out.
        kept: positions `[K]` int32 of each active selection point.
        state: what the next frame needs, without batch dimension; None when the schedule is dense.
    """

    class_logits: Tensor
    mask_logits: Tensor
    query_features: Tensor
    query_indices: Tensor
    candidates: Tensor
    kept: tuple[Tensor, ...]
    state: BackboneState | None


class FrameGraph(nn.Module):
    """Normalisation, detector, and the choice of candidate queries.

    Args:
        detector: the model.
        options: sizes and thresholds.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, detector: VppDetector, options: GraphOptions) -> None:
        super().__init__()
        self.detector, self.options = detector, options
        self.register_buffer("mean", torch.tensor(IMAGE_MEAN).reshape(3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(IMAGE_STD).reshape(3, 1, 1), persistent=False)

    def forward(
        self,
        frame: Tensor,
        content_size: Tensor,
        track_queries: Tensor | None = None,
        track_valid: Tensor | None = None,
        state: BackboneState | None = None,
        selection_noise: Tensor | None = None,
    ) -> FrameOutput:
        """One frame.

        Args:
            frame: `[H, W, 3]` uint8 RGB.
            content_size: `[2]` int32, height and width of the picture inside the frame; the rest counts as padding.
            track_queries: `[T, C]`; None on the first frame.
            track_valid: `[T]` bool; None on the first frame.
            state: without batch dimension; None on the first frame or when the schedule is dense.
            selection_noise: `[4, N, 2]` standard Gumbel noise; None for none.
        """
        batched_state = None if state is None else BackboneState(*(tensor.unsqueeze(0) for tensor in state))
        output: DetectorOutput = self.detector(
            self.normalise(frame, content_size).unsqueeze(0),
            batched_state,
            None if track_queries is None else track_queries.unsqueeze(0),
            None if track_valid is None else track_valid.unsqueeze(0),
            noise=None if selection_noise is None else selection_noise.unsqueeze(1),
        )
        return self._compact(output, track_valid)

    def normalise(self, frame: Tensor, content_size: Tensor) -> Tensor:
        """uint8 `[H, W, 3]` to normalised float `[3, H, W]`, zero outside the content."""
        image = (frame.to(self.mean.dtype).permute(2, 0, 1) - self.mean) / self.std
        row = torch.arange(frame.shape[0], dtype=torch.int32, device=frame.device)[:, None]
        column = torch.arange(frame.shape[1], dtype=torch.int32, device=frame.device)[None]
        inside = (row < content_size[0]) & (column < content_size[1])
        return torch.where(inside, image, 0.0)

    def _compact(self, output: DetectorOutput, track_valid: Tensor | None) -> FrameOutput:
        head = self.detector.panoptic_head
        logits = head.class_logits(output.queries)
        margin = logits.softmax(-1)[..., :-1].amax(-1) - self._score_floor(track_valid, logits)
        chosen = select_tokens(margin, min(self.options.max_detections, logits.shape[1]))
        queries = gather_tokens(output.queries, chosen)
        state = None if output.state is None else BackboneState(*(tensor.squeeze(0) for tensor in output.state))
        return FrameOutput(
            class_logits=gather_tokens(logits, chosen).squeeze(0),
            mask_logits=head.mask_logits(queries, output.head.mask_features).squeeze(0),
            query_features=queries.squeeze(0),
            query_indices=chosen.squeeze(0),
            candidates=(margin > 0).sum(-1).to(torch.int32),
            kept=tuple(selection.positions.squeeze(0) for selection in output.backbone.selections),
            state=state,
        )

    def _score_floor(self, track_valid: Tensor | None, like: Tensor) -> Tensor:
        """`[1, Q + T]` class probability that a query must exceed; 2 for an empty slot, which nothing exceeds."""
        learned = like.new_full((1, self.detector.config.head.queries), self.options.new_score)
        if track_valid is None:
            return learned
        tracks = torch.where(track_valid, self.options.track_score, 2.0).to(like.dtype).unsqueeze(0)
        return torch.cat([learned, tracks], dim=1)
