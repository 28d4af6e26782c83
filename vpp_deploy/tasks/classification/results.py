"""What a classification session returns."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt

from vpp_deploy.bundle.classification_manifest import ClassificationManifest
from vpp_deploy.errors import UsageError
from vpp_deploy.frames import Frame, Size


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
        features: `[C]` float32, what a model without classes gives; it has no labels then. None of a classifier.
        manifest: of the bundle; None from a `ClassificationSession`. A model's results hold it and the `sample`.
        sample: the image, or the frames of the clip, that went in.
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
    features: npt.NDArray[np.float32] | None = None
    manifest: ClassificationManifest | None = None
    sample: tuple[Frame, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """The classes of `labels`, best first.

        Raises:
            UsageError: the result is of a session, which gives no names.
        """
        return tuple(self._manifest().class_names[label] for label in self.labels)

    @property
    def best(self) -> tuple[str, float]:
        """The most probable class and its probability.

        Raises:
            UsageError: as `names`; or the model tells no classes apart.
        """
        if not len(self.labels):
            raise UsageError("this model tells no classes apart; its result has features")
        return self.names[0], float(self.scores[0])

    @property
    def keep_ratios(self) -> dict[str, float]:
        """Share of the patches kept at each pruning point, in [0, 1]."""
        return {name: len(kept) / self.significance[name].size for name, kept in self.kept.items()}

    def plot(self, draw: str | None = None, *, header: bool = True) -> npt.NDArray[np.uint8]:
        """The overlay of the image, or of the clip's first frame, as `infer` draws it: `[H, W, 3]` uint8 RGB.

        Args:
            draw: labels, heat and patches, those that are wanted, separated by commas; or none. None draws all.
            header: with a strip beside the picture, which has the labels and a legend. Without it the result has the
                picture's own size.

        Raises:
            UsageError: as `names`; or `draw` names something else.
        """
        from vpp_deploy.tasks.classification.options import PARTS
        from vpp_deploy.tasks.classification.overlay import draw_classification
        from vpp_deploy.tasks.overlay_style import parse_style

        manifest, style = self._manifest(), parse_style(draw, "on" if header else "off", PARTS, PARTS)
        return draw_classification(self.sample[0], self, manifest, style)

    def save(self, path: str | os.PathLike[str], draw: str | None = None, *, header: bool = True) -> None:
        """Write what `plot` draws as a picture; the extension says the kind. An existing file is replaced.

        Args:
            path: the target.
            draw: see `plot`.
            header: see `plot`.

        Raises:
            UsageError: as `plot`.
            OutputError: an extension that says nothing, or it cannot be written.
        """
        from vpp_deploy.media.picture_writer import write_picture

        write_picture(self.plot(draw, header=header), path)

    def to_dict(self) -> dict[str, Any]:
        """The result as a line of `infer --json` has it.

        Raises:
            UsageError: as `names`.
        """
        from vpp_deploy.tasks.classification.writers import classification_record

        return classification_record(self, self._manifest().class_names)

    def to_json(self) -> str:
        """`to_dict` as JSON."""
        return json.dumps(self.to_dict(), allow_nan=False)

    def _manifest(self) -> ClassificationManifest:
        if self.manifest is None:
            raise UsageError("this result knows no class names: take the result of a model, not of a session")
        return self.manifest
