"""A classification session: images or the clips of a video in, labels and significant patches out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from math import prod
from time import perf_counter
from typing import Final

import numpy as np
import numpy.typing as npt

from vpp_deploy.arguments import checked
from vpp_deploy.bundle.classification_manifest import ClassificationManifest, PruningPoint
from vpp_deploy.engines.one_thread import one_thread
from vpp_deploy.engines.protocols import Array, Engine, EngineStream, check_engine
from vpp_deploy.errors import UsageError
from vpp_deploy.frames import Frame, check_frame
from vpp_deploy.tasks.classification.contract import check_contract
from vpp_deploy.tasks.classification.results import ClassificationResult
from vpp_deploy.tasks.contract import check_finite, check_range

Sample = tuple[Frame, ...]
"""What the model classifies at once: one image, or the frames of a clip."""


_NO_LABELS: Final[npt.NDArray[np.int64]] = np.empty(0, np.int64)
_NO_SCORES: Final[npt.NDArray[np.float32]] = np.empty(0, np.float32)


class ClassificationSession:
    """Images or clips on one engine, for one thread at a time. It remembers nothing from one to the next.

    ```python
    session = ClassificationSession(engine)
    for sample, result in session.run(read_pictures("photos/", session.manifest)):
        print(result.labels[0], result.scores[0])
    ```

    Args:
        engine: any engine of a classifier's bundle.
        top: how many labels a result has; all, if there are fewer classes.
        hop: frames of a video from the begin of one clip to the begin of the next; None takes half a clip. For
            models of clips only.

    Raises:
        UsageError: a bundle of another family; `top` or `hop` below 1; a hop for a model of images.
        BundleError: its graph is not what the manifest says elsewhere.
    """

    @checked
    def __init__(self, engine: Engine, top: int = 5, hop: int | None = None) -> None:
        check_engine("a classification session", engine)
        self.manifest = ClassificationManifest.of(engine.manifest, "a classification session")
        check_contract(self.manifest)
        self.engine = engine
        self.stream: EngineStream = engine.open_stream()
        if top < 1:
            raise UsageError(f"top is {top}; ask for at least 1 label")
        if hop is not None and self.manifest.clip is None:
            raise UsageError(f"hop {hop}: {self.manifest.model.name} classifies images; leave it out")
        if hop is not None and hop < 1:
            raise UsageError(f"hop is {hop}; move on by at least 1 frame")
        self.top, self.hop = min(top, len(self.manifest.class_names)), hop

    def run(self, frames: Iterable[Frame]) -> Iterator[tuple[Sample, ClassificationResult]]:
        """Classify each image, or each clip of a sliding window.

        Args:
            frames: at the engine's frame size, in order.

        Raises:
            UsageError: a frame of another size.
        """
        samples = self.samples(frames)
        while batch := list(islice(samples, self.manifest.batch)):
            yield from zip(batch, self(batch), strict=True)

    @one_thread
    def __call__(self, batch: Sequence[Sample]) -> list[ClassificationResult]:
        """Classify up to a batch of images or clips.

        Raises:
            UsageError: none, or more than the bundle's batch; a frame of another size, or a clip of another length.
            EngineOutputError: the engine gives NaN, infinity, or positions that there are not.
            StreamError: another thread is using the session.
        """
        start = perf_counter()
        inputs = self.prepare(batch)
        prepared = perf_counter()
        outputs = self.stream.run(inputs)
        ran = perf_counter()
        results = self.complete(batch, outputs)
        host = perf_counter() - ran + prepared - start
        seconds = {"engine": (ran - prepared) / len(batch), "host": host / len(batch)}
        return [replace(result, seconds=seconds) for result in results]

    def samples(self, frames: Iterable[Frame]) -> Iterator[Sample]:
        """What of a stream of frames is classified at once.

        Clips begin every `hop` frames. Where the video ends within a clip, its last frame fills that last clip up.
        """
        clip = self.manifest.clip
        if clip is None:
            return ((frame,) for frame in frames)
        hop = self.hop or max(1, clip.frames * clip.sampling // 2)
        return clips(frames, clip.frames, clip.sampling, hop)

    def prepare(self, batch: Sequence[Sample]) -> dict[str, Array]:
        """The graph's input for a batch; one that is not full repeats its last sample."""
        (spec,) = self.manifest.graphs["model"].inputs
        if not 0 < len(batch) <= spec.shape[0]:
            raise UsageError(f"{len(batch)} samples do not fit a bundle of batch {spec.shape[0]}; give 1 to that many")
        length = 1 if self.manifest.clip is None else self.manifest.clip.frames
        expected = (*self.manifest.frame_size, 3)
        pixels = np.empty((spec.shape[0], length, *expected), np.uint8)
        for row, sample in enumerate(batch):
            if len(sample) != length:
                raise UsageError(f"a sample of {len(sample)} frames, the model takes {length}")
            for position, frame in enumerate(sample):
                check_frame(frame)
                if frame.image.shape != expected or frame.image.dtype != np.uint8:
                    raise UsageError(
                        f"frame {frame.index} is {frame.image.dtype} {list(frame.image.shape)}, the engine takes uint8 "
                        f"{list(expected)}; read it for this bundle"
                    )
                pixels[row, position] = frame.image
        pixels[len(batch) :] = pixels[len(batch) - 1]
        return {spec.name: pixels.reshape(spec.shape)}

    def complete(self, batch: Sequence[Sample], outputs: Mapping[str, Array]) -> list[ClassificationResult]:
        """What the graph's outputs say of each sample of the batch."""
        rows = [{name: array[row] for name, array in outputs.items()} for row in range(len(batch))]
        for sample, row in zip(batch, rows, strict=True):
            self._check(sample, row)
        return [self._result(sample, row) for sample, row in zip(batch, rows, strict=True)]

    def _check(self, sample: Sample, outputs: Mapping[str, Array]) -> None:
        backend, name = self.engine.backend, sample[0].name or sample[0].index
        check_finite(outputs, backend, name)
        for point in self.manifest.pruning_points:
            tokens = prod(point.grid) + point.fused
            check_range(f"patch of {point.name}", kept_tokens(point, outputs), tokens, backend, name)

    def _result(self, sample: Sample, outputs: Mapping[str, Array]) -> ClassificationResult:
        points = self.manifest.pruning_points
        values = outputs[self.manifest.output]
        is_embedding = self.manifest.features is not None
        labels, scores = (_NO_LABELS, _NO_SCORES) if is_embedding else top_labels(values, self.top)
        return ClassificationResult(
            indices=tuple(frame.index for frame in sample),
            time=sample[0].time,
            name=sample[0].name,
            original_size=sample[0].original_size,
            labels=labels,
            scores=scores,
            significance={point.name: patch_map(point, outputs[point.significance_output]) for point in points},
            kept={point.name: kept_patches(point, kept_tokens(point, outputs)) for point in points},
            seconds={},
            features=values.copy() if is_embedding else None,
        )


def patch_map(point: PruningPoint, significance: Array) -> npt.NDArray[np.float32]:
    """A point's significance map `[*grid]`, without the fused tokens that follow the patches."""
    return significance.ravel()[: prod(point.grid)].reshape(point.grid)


def kept_tokens(point: PruningPoint, outputs: Mapping[str, Array]) -> Array:
    """What a point kept of one image or clip, `[K]` int32: an output of the graph, unless that would be empty.

    Args:
        point: where.
        outputs: of the graph by name, without the batch.
    """
    return np.empty(0, np.int32) if point.kept_output is None else outputs[point.kept_output]


def kept_patches(point: PruningPoint, kept: Array) -> npt.NDArray[np.int32]:
    """The patches among the tokens that a point kept, most significant first; fused tokens have no place."""
    return kept[kept < prod(point.grid)] if point.fused else kept


def top_labels(logits: Array, count: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]:
    """The most probable classes, best first, ties by index, and their probabilities.

    Args:
        logits: `[classes]` float.
        count: how many.
    """
    exponentials = np.exp(logits.astype(np.float64) - logits.max())
    labels = np.argsort(-logits, kind="stable")[:count]  # of the logits: small exponentials all become 0
    return labels.astype(np.int64), (exponentials[labels] / exponentials.sum()).astype(np.float32)


def clips(frames: Iterable[Frame], length: int, sampling: int, hop: int) -> Iterator[Sample]:
    """The clips of a sliding window over a video.

    Args:
        frames: the video.
        length: frames of a clip.
        sampling: of so many frames of the video, a clip takes one.
        hop: frames of the video from the begin of one clip to the begin of the next.
    """
    span = (length - 1) * sampling + 1
    window: list[Frame] = []
    skip = unseen = 0
    for frame in frames:
        if skip:
            skip -= 1
            continue
        window.append(frame)
        unseen += 1
        if len(window) == span:
            yield tuple(window[::sampling])
            window, skip, unseen = window[hop:], max(0, hop - span), 0
    if unseen:
        yield tuple(window[min(position, len(window) - 1)] for position in range(0, span, sampling))
