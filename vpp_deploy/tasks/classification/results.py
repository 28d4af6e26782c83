"""What a classification session returns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import numpy.typing as npt

from vpp_deploy.frames import Size


@dataclass(frozen=True, slots=True)
class ClassificationResult:
    """What a classifier makes of one image, or of one clip out of a video.

    Attributes:
        indices: positions in the stream of the frames that the model saw, ascending; one for an image. The last one
            repeats where a video ended within a clip.
        time: presentation time of the first of them in seconds, or None.
        name: file name of an image, else "".
        original_size: height and width of the source in pixels.
        labels: `[n]` int64, the most probable classes, best first: indices into the bundle's class names.
        scores: `[n]` float32, their probabilities (softmax over all classes).
        significance: patch significance map of each pruning point, by name; its shape is the point's grid of patches.
        kept: positions `[K]` int32 of the patches that stayed, by pruning point; row-major on that grid, most
            significant first. Tokens that were fused of pruned patches (EViT) have no place and are left out.
        seconds: share of this image or clip in its batch's wall time by part (`engine`, `host`), in seconds.
    """

    indices: tuple[int, ...]
    time: Fraction | None
    name: str
    original_size: Size
    labels: npt.NDArray[np.int64]
    scores: npt.NDArray[np.float32]
    significance: Mapping[str, npt.NDArray[np.float32]]
    kept: Mapping[str, npt.NDArray[np.int32]]
    seconds: Mapping[str, float]

    @property
    def keep_ratios(self) -> dict[str, float]:
        """Share of the patches kept at each pruning point, in [0, 1]."""
        return {name: len(kept) / self.significance[name].size for name, kept in self.kept.items()}
