"""Write what a classifier found as JSON lines."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from vpp_deploy.media.json_lines import JsonLinesFile
from vpp_deploy.tasks.classification.results import ClassificationResult

_DIGITS: Final = 6


class ClassificationLinesWriter(JsonLinesFile):
    """One JSON object per image or clip and line; see `JsonLinesFile` for what an error leaves.

    A line holds: `indices` of the frames the model saw, `time` of the first (seconds or null), `name` (images only),
    `size` [height, width] of the source, `labels` (each: `label`, `class`, `score`; most probable first) or, of a model
    without classes, `features` (numbers, 9 significant digits, which is all of a float32), and for each
    pruning point by name: `kept` (positions, most significant first), `keep_ratios`, and `significance` (nested lists
    in the shape of the point's grid, 6 significant digits); then `seconds` by part.

    Args:
        path: the target; an existing file is replaced.
        class_names: a name for each label (`Manifest.class_names`).

    Raises:
        OutputError: the target cannot be written. Raised here, before the first line.
    """

    def __init__(self, path: str | os.PathLike[str], class_names: Sequence[str]) -> None:
        super().__init__(path)
        self._class_names = class_names

    def write(self, result: ClassificationResult) -> None:
        """Append an image or a clip.

        Raises:
            OutputError: writing failed, for example on a full disk.
        """
        self.append(classification_record(result, self._class_names))


def classification_record(result: ClassificationResult, class_names: Sequence[str]) -> dict[str, Any]:
    """A result as a line of JSON holds it; see `ClassificationLinesWriter`."""
    return {
        "indices": list(result.indices),
        "time": None if result.time is None else float(result.time),
        **({"name": result.name} if result.name else {}),
        "size": list(result.original_size),
        **_answer(result, class_names),
        "kept": {point: positions.tolist() for point, positions in result.kept.items()},
        "keep_ratios": result.keep_ratios,
        "significance": {point: _rounded(values) for point, values in result.significance.items()},
        "seconds": dict(result.seconds),
    }


def _answer(result: ClassificationResult, class_names: Sequence[str]) -> dict[str, Any]:
    if result.features is not None:
        return {"features": [float(f"{value:.9g}") for value in result.features.tolist()]}
    pairs = zip(result.labels.tolist(), result.scores.tolist(), strict=True)
    return {
        "labels": [
            {"label": label, "class": class_names[label], "score": round(score, _DIGITS)} for label, score in pairs
        ]
    }


def _rounded(values: npt.NDArray[np.float32]) -> Any:
    """Nested lists of the values with few digits."""
    digits = [float(f"{value:.{_DIGITS}g}") for value in values.ravel().tolist()]
    return np.array(digits).reshape(values.shape).tolist()
