"""Full batches without an end, for measurements."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from itertools import chain, count, islice, repeat

import numpy as np

from vpp_deploy.bundle.classification_manifest import ClassificationManifest
from vpp_deploy.engines.protocols import Engine
from vpp_deploy.errors import VideoError
from vpp_deploy.frames import Frame
from vpp_deploy.tasks.classification.reader import read_pictures
from vpp_deploy.tasks.classification.session import ClassificationSession, Sample
from vpp_deploy.tasks.workload import DISTINCT


class ClassificationWorkload:
    """One session, batch after batch; after the last batch comes the first.

    Args:
        engine: any engine of a classifier's bundle.
        source: image, folder of images or video, of which the first are used; None makes some up.

    Raises:
        VideoError: the source cannot be read.
    """

    def __init__(self, engine: Engine, source: str | os.PathLike[str] | None) -> None:
        self._session = ClassificationSession(engine)
        manifest = self._session.manifest
        self.items, self.unit = manifest.batch, "images" if manifest.clip is None else "clips"
        self._batches = _synthetic(manifest) if source is None else _read(source, self._session)
        self._numbers = count()

    def __call__(self) -> Mapping[str, float]:
        """Classify the next batch."""
        results = self._session(self._batches[next(self._numbers) % len(self._batches)])
        return {part: sum(result.seconds[part] for result in results) for part in results[0].seconds}


def _read(source: str | os.PathLike[str], session: ClassificationSession) -> list[Sequence[Sample]]:
    batch = session.manifest.batch
    with read_pictures(source, session.manifest) as reader:
        samples = list(islice(session.samples(reader), batch * DISTINCT))
    if not samples:
        raise VideoError(f"{source}: there is no picture in it")
    missing = -len(samples) % batch
    samples = list(chain(samples, islice(repeat(samples[-1]), missing)))
    return [samples[start : start + batch] for start in range(0, len(samples), batch)]


def _synthetic(manifest: ClassificationManifest) -> list[Sequence[Sample]]:
    generator = np.random.default_rng(0)
    length = 1 if manifest.clip is None else manifest.clip.frames

    def sample() -> Sample:
        images = generator.integers(0, 256, (length, *manifest.frame_size, 3), np.uint8)
        return tuple(Frame(image, manifest.frame_size, image, number) for number, image in enumerate(images))

    return [[sample() for _ in range(manifest.batch)] for _ in range(4)]
