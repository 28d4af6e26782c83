"""Classifiers that decide otherwise, to see that parity tells ties from errors."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from tests.tasks.segmentation.parity.perturbed import Arrays, Change, PerturbedEngine
from vpp_deploy.bundle import ClassificationManifest
from vpp_deploy.engines.protocols import HostStream

Choice = Callable[[np.ndarray], None]
"""Changes kept positions `[B, K]` in place."""


class TiedReference(PerturbedEngine):
    """A PyTorch reference whose outputs are changed, and that can be run again as before."""

    def __init__(self, engine: Any, outputs: Change = lambda arrays: None) -> None:
        super().__init__(engine, outputs, first_frame=0)
        self.reruns = 0

    def rerun(self, inputs: Mapping[str, np.ndarray], kept: Mapping[str, np.ndarray]) -> Arrays:
        self.reruns += 1
        return dict(self._engine.rerun(inputs, kept))  # type: ignore[attr-defined]


class OtherChoice:
    """PyTorch as it would be, had other patches been kept at one pruning point.

    Args:
        engine: the PyTorch reference.
        choice: changes what is kept.
        outputs: changes the outputs.
        point: number of the pruning point.
    """

    backend, precision = "onnxruntime", "float32"

    def __init__(self, engine: Any, choice: Choice, outputs: Change = lambda arrays: None, point: int = 0) -> None:
        self._engine, self._choice, self._outputs, self._point = engine, choice, outputs, point
        self.manifest: ClassificationManifest = engine.manifest
        self.frame_size = engine.frame_size

    def open_stream(self) -> HostStream:
        return HostStream(self.manifest, self._run)

    def _run(self, phase: str, names: Any, feed: Mapping[str, np.ndarray]) -> list[np.ndarray]:
        outputs = self._engine.open_stream().run(feed)
        kept = {point.name: outputs[point.kept_output].copy() for point in self.manifest.pruning_points}
        self._choice(kept[self.manifest.pruning_points[self._point].name])
        outputs = {name: array.copy() for name, array in self._engine.rerun(feed, kept).items()}
        self._outputs(outputs)
        return [outputs[name] for name in names]


def keep_next(patches: int) -> Choice:
    """Keep a patch that was not kept in the place of the last one, in the first row."""

    def choose(kept: np.ndarray) -> None:
        kept[0, -1] = np.setdiff1d(np.arange(patches, dtype=kept.dtype), kept[0])[0]

    return choose


def swap_first_two(kept: np.ndarray) -> None:
    """List the two most significant patches of the first row the other way round."""
    kept[0, :2] = kept[0, 1::-1].copy()


def level(manifest: ClassificationManifest, point: int = 0) -> Change:
    """Give all patches the same significance."""
    output = manifest.pruning_points[point].significance_output

    def change(outputs: Arrays) -> None:
        outputs[output][:] = 0.25

    return change


class BrightnessEngine:
    """A classifier of clips that needs no network: significance and logits are brightness."""

    backend, precision = "onnxruntime", "float32"

    def __init__(self, manifest: ClassificationManifest) -> None:
        self.manifest, self.frame_size = manifest, manifest.frame_size

    def open_stream(self) -> HostStream:
        return HostStream(self.manifest, self._run)

    def _run(self, phase: str, names: Any, feed: Mapping[str, np.ndarray]) -> list[np.ndarray]:
        (pixels,) = feed.values()
        (point,) = self.manifest.pruning_points
        rows, columns = point.grid[-2:]
        batch = len(pixels)
        patches = pixels.astype(np.float32).reshape(batch, -1, rows, 16, columns, 16, 3)
        significance = patches.mean(axis=(1, 3, 5, 6))
        ranked = np.argsort(-significance.reshape(batch, -1), axis=1, kind="stable")
        classes = len(self.manifest.class_names)
        values = {
            "logits": significance.mean(axis=(1, 2))[:, None] * np.arange(classes, dtype=np.float32) / 255 / classes,
            point.significance_output: significance,
            point.kept_output: ranked[:, : point.kept].astype(np.int32),
        }
        return [values[name] for name in names]
