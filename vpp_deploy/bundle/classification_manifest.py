"""What the manifest of a classifier says: images or clips, without state."""

from __future__ import annotations

from collections.abc import Iterator
from math import prod
from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from vpp_deploy.bundle.manifest import AT_ONCE, FrameManifest, GraphRole, Large, MemoryClaim, Positive, Strict


class PruningPoint(Strict):
    """A place in a classifier where patches are pruned.

    Attributes:
        name: e.g. `patches`, `tubelets` (clips), `stage_0` to `stage_3` of a hierarchical model, or `block_3`.
        grid: rows and columns of patches; of clips, layers in time, rows and columns.
        keep_ratio: as configured.
        kept: patches that stay, and fused tokens; 0 where the class token goes on alone.
        kept_output: graph output `[B, kept]` int32: their positions, row-major on the grid, most significant first.
            Fused tokens follow the patches: the n-th one has the position of the last patch plus n. None where nothing
            stays: a graph has no empty output.
        significance_output: graph output `[B, *grid]` float32: the patch significance map, 0 where a patch was pruned
            before. With fused tokens `[B, N + fused]`: the N patches row-major, then the fused tokens.
        fused: tokens that were fused from pruned patches at earlier points and compete here (EViT).
    """

    name: str
    grid: tuple[Positive, Positive] | tuple[Positive, Positive, Positive]
    keep_ratio: Annotated[float, Field(gt=0.0, lt=1.0)]
    kept: Annotated[int, Field(ge=0, lt=2**31)]
    kept_output: str | None
    significance_output: str
    fused: Annotated[int, Field(ge=0, lt=2**31)] = 0

    @model_validator(mode="after")
    def _kept_is_put_out(self) -> Self:
        if (self.kept == 0) != (self.kept_output is None):
            raise ValueError(f"kept_output: {self.kept_output}, where {self.kept} patches stay")
        return self


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
    crop_ratio: Annotated[float, Field(ge=0.01, le=1.0)] = 1.0
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
    """Multiply-accumulates for one image or clip, as papers count "FLOPs" (`vpp_deploy.exporters.flops`).

    Attributes:
        dense: of the unpruned model.
        pruned: of the pruned model, with whatever chooses its patches.
        proposal: of the proposal network alone (PaPr).
    """

    dense: Annotated[Large, Field(gt=0)]
    pruned: Annotated[Large, Field(gt=0)]
    proposal: Large = 0


class ClassificationManifest(FrameManifest):
    """A pruned classifier of images or clips, without state.

    Attributes:
        batch: images or clips that the graph takes at once.
        clip: what a clip is; None for a model of images.
        proposal: name of the network that finds the significant patches (PaPr); None where there is none.
        merged: tokens that each block of the later half merges (ToMe), at keep ratio 1 every block; 0 for none.
        final_tokens: tokens after the last block of a model that merges, class token included; None without merging.
        pruning_points: where patches are pruned; none when the keep ratio is 1.
        sequential: each point chooses among what the one before kept (DynamicViT, EViT), not among all patches.
        cost: for one image or clip.
        features: how many numbers the model gives instead of classes, as graph output `features` `[B, features]`
            float32: an embedding, such as that of a CLIP's image tower. None for a model that tells classes apart.
    """

    task: ClassVar[str] = "classification"
    allowed_roles: ClassVar[tuple[tuple[GraphRole, ...], ...]] = (AT_ONCE,)

    preprocessing: ClassifierPreprocessing
    batch: Positive
    clip: ClipSpec | None = None
    proposal: str | None = None
    merged: Annotated[int, Field(ge=0, lt=2**31)] = 0
    final_tokens: Positive | None = None
    pruning_points: tuple[PruningPoint, ...]
    sequential: bool = False
    cost: CostSpec
    features: Positive | None = None

    @model_validator(mode="after")
    def _classes_or_features(self) -> Self:
        if self.features is not None and self.class_names:
            raise ValueError(f"features: {self.features}, of a model of {len(self.class_names)} classes")
        return self

    @property
    def output(self) -> str:
        """The graph output that is not about patches: `logits` or `features`."""
        return "logits" if self.features is None else "features"

    def memory_claims(self) -> Iterator[MemoryClaim]:
        """See `Manifest`; and a picture before it is cropped, the frames that a clip spans, and the maps."""
        yield from super().memory_claims()
        height, width = self.frame_size
        ratio = self.preprocessing.crop_ratio
        yield MemoryClaim(f"a picture resized for the crop ratio {ratio:g}", int(3 * height * width / ratio**2))
        if self.clip is not None:
            span = (self.clip.frames - 1) * self.clip.sampling + 1
            yield MemoryClaim(f"the {span} frames that a clip spans", span * 3 * height * width)
        for point in self.pruning_points:
            grid = "x".join(map(str, point.grid))
            yield MemoryClaim(f"a grid of {grid} patches", 4 * self.batch * prod(point.grid))
