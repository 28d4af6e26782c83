"""What the manifest of a PaPr bundle says: classification of images or clips, without state."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from vpp_deploy.bundle.manifest import Manifest, Phase, Positive, StateSpec, Strict


class PruningPoint(Strict):
    """A place in a classifier where patches are pruned.

    Attributes:
        name: `patches`, `tubelets` (clips), or `stage_0` to `stage_3` of a hierarchical model.
        grid: rows and columns of patches; of clips, layers in time, rows and columns.
        keep_ratio: as configured.
        kept: patches that stay.
        kept_output: graph output `[B, kept]` int32: their positions, row-major on the grid, most significant first.
        significance_output: graph output `[B, *grid]` float32: the patch significance map.
    """

    name: str
    grid: tuple[Positive, Positive] | tuple[Positive, Positive, Positive]
    keep_ratio: Annotated[float, Field(gt=0.0, lt=1.0)]
    kept: Positive
    kept_output: str
    significance_output: str


class ClassifierPreprocessing(Strict):
    """How a picture becomes the input of a classifier. Normalisation happens inside the graph.

    Attributes:
        resize: `center-crop`: keep the aspect ratio, so that the picture covers the input divided by `crop_ratio`, and
            take the middle. `squash`: the same, without keeping the aspect ratio.
        crop_ratio: side of the input over that of the resized picture.
        interpolation: with antialiasing, as Pillow computes it.
        colour: channel order.
        mean: per channel, in 0..255, subtracted in the graph.
        std: per channel, in 0..255, divided by in the graph.
    """

    resize: Literal["center-crop", "squash"] = "center-crop"
    crop_ratio: Annotated[float, Field(gt=0.0, le=1.0)] = 1.0
    interpolation: Literal["bilinear", "bicubic"] = "bicubic"
    colour: Literal["RGB"] = "RGB"
    mean: tuple[float, float, float]
    std: tuple[float, float, float]


class ClipSpec(Strict):
    """What a clip is.

    Attributes:
        frames: frames of a clip.
        sampling: of so many frames of a video, a clip takes one.
    """

    frames: Positive
    sampling: Positive


class CostSpec(Strict):
    """Multiply-accumulates for one image or clip, as papers count "FLOPs" (`models.papr.flops`).

    Attributes:
        dense: of the unpruned model.
        pruned: of the pruned model and its proposal.
        proposal: of the proposal alone.
    """

    dense: Positive
    pruned: Positive
    proposal: Annotated[int, Field(ge=0)]


class PaprManifest(Manifest):
    """A PaPr model: classification of images or clips, without state.

    Attributes:
        batch: images or clips that the graph takes at once.
        clip: what a clip is; None for a model of images.
        proposal: name of the proposal network; None when nothing is pruned.
        merged: tokens that each block of the later half merges (ToMe), at keep ratio 1 every block; 0 for none.
        final_tokens: tokens after the last block of a model that merges, class token included; None without merging.
        pruning_points: where patches are pruned; none when the keep ratio is 1.
        cost: for one image or clip.
    """

    family: ClassVar[str] = "papr"
    phases: ClassVar[tuple[Phase, ...]] = ("model",)

    state: tuple[StateSpec, ...] = ()
    preprocessing: ClassifierPreprocessing
    batch: Positive
    clip: ClipSpec | None = None
    proposal: str | None = None
    merged: Annotated[int, Field(ge=0)] = 0
    final_tokens: Positive | None = None
    pruning_points: tuple[PruningPoint, ...]
    cost: CostSpec
