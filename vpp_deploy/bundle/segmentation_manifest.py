"""What the manifest of a video instance segmentation model says: frame by frame, with state."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from vpp_deploy.bundle.manifest import FRAME_BY_FRAME, FrameManifest, GraphRole, Large, MemoryClaim, Positive, Strict

Probability = Annotated[float, Field(ge=0.0, le=1.0)]


class PruningPoint(Strict):
    """A place in the network where tokens are selected.

    Attributes:
        name: e.g. `map_selection` or `selection_3` (before block 3).
        block: index of the first block that runs on the selected tokens.
        output: the graph output that holds the kept positions `[K]`, int32, ascending, row-major on the token grid.
        keep_ratio: K / N as configured.
        kept: K.
        phases: the phases in which the point is active.
    """

    name: str
    block: Large
    output: str
    keep_ratio: Annotated[float, Field(gt=0.0, le=1.0)]
    kept: Positive
    phases: tuple[GraphRole, ...]


class Preprocessing(Strict):
    """How a picture becomes the input of a video model. Normalisation and zero padding happen inside the graph.

    Attributes:
        resize: `letterbox`: keep the aspect ratio, fill the top-left corner, pad right and bottom.
        interpolation: `bilinear` without antialiasing, half-pixel centres.
        colour: channel order of the frame.
        mean: per channel, in 0..255, subtracted in the graph.
        std: per channel, in 0..255, divided by in the graph.
    """

    resize: Literal["letterbox"] = "letterbox"
    interpolation: Literal["bilinear"] = "bilinear"
    colour: Literal["RGB"] = "RGB"
    mean: tuple[float, float, float]
    std: tuple[float, float, float]


class TrackerSpec(Strict):
    """Constants of the query tracker (VPP evaluation configuration).

    Attributes:
        new_score: a detection of a learned query needs a score above this.
        track_score: a detection of a track query needs a score above this.
        low_score: an existing track below this keeps the feature that was fed in.
        existing_iou: mask IoU above which the weaker of two existing tracks is suppressed.
        new_iou: mask IoU above which a new detection is suppressed.
        max_age: a track not seen for this many frames is dropped.
    """

    new_score: Probability = 0.3
    track_score: Probability = 0.25
    low_score: Probability = 0.3
    existing_iou: Probability = 0.7
    new_iou: Probability = 0.4
    max_age: Positive = 10


class DetectionSpec(Strict):
    """Capacities of the detector's outputs and track query inputs.

    Attributes:
        num_queries: learned queries of the decoder; query indices from here on are track slots.
        query_width: channels of a query feature.
        max_tracks: track query slots in the step graph.
        max_detections: candidate queries that leave a graph.
    """

    num_queries: Positive
    query_width: Positive
    max_tracks: Positive
    max_detections: Positive


class SegmentationManifest(FrameManifest):
    """Instance segmentation of video, frame by frame, with state.

    Attributes:
        patch_size: side of a patch in pixels.
        token_grid: rows and columns of tokens.
        blocks: transformer blocks of the backbone.
        preprocessing: how a picture becomes the input.
        detection: capacities of the detector.
        tracker: constants of the tracker.
        pruning_points: where tokens are selected; none of a dense model.
    """

    task: ClassVar[str] = "segmentation"
    allowed_roles: ClassVar[tuple[tuple[GraphRole, ...], ...]] = (FRAME_BY_FRAME,)

    patch_size: Positive
    token_grid: tuple[Positive, Positive]
    blocks: Positive = 12
    preprocessing: Preprocessing
    detection: DetectionSpec
    tracker: TrackerSpec
    pruning_points: tuple[PruningPoint, ...]

    def memory_claims(self) -> Iterator[MemoryClaim]:
        """See `Manifest`; and the track queries, and the grid that an overlay draws."""
        yield from super().memory_claims()
        tracks, width = self.detection.max_tracks, self.detection.query_width
        yield MemoryClaim(f"queries of {tracks} tracks with {width} channels", 4 * tracks * width)
        rows, columns = self.token_grid
        yield MemoryClaim(f"a token grid of {rows}x{columns}", 4 * rows * columns)
