"""Inputs without an end, for measurements."""

from __future__ import annotations

import os
from collections.abc import Mapping
from itertools import count, islice
from time import perf_counter

import numpy as np

from vpp_deploy.bundle.manifest import TensorSpec
from vpp_deploy.engines.protocols import Array, Engine
from vpp_deploy.errors import UsageError
from vpp_deploy.tasks.tensors.session import TensorSession
from vpp_deploy.tasks.tensors.source import Inputs, open_source
from vpp_deploy.tasks.workload import DISTINCT


class TensorWorkload:
    """One session, frame after frame; after the last frame comes the first, and the stream goes on.

    Args:
        engine: any engine of a bundle for plain tensors.
        source: as `open_source` takes it, of which the first frames are used; None makes some up.

    Raises:
        UsageError: the source does not fit the model, or holds no frame.
        VideoError: it cannot be read.
    """

    items = 1
    unit = "frames"

    def __init__(self, engine: Engine, source: str | os.PathLike[str] | None) -> None:
        self._session = TensorSession(engine)
        manifest = self._session.manifest
        self._inputs: list[Inputs]
        if source is None:
            generator = np.random.default_rng(0)
            self._inputs = [{spec.name: _random(spec, generator) for spec in manifest.inputs} for _ in range(4)]
        else:
            with open_source(source, manifest, DISTINCT) as frames:
                self._inputs = list(islice(frames, DISTINCT))
        if not self._inputs:
            raise UsageError(f"{source}: there is no frame in it")
        self._numbers = count()

    def __call__(self) -> Mapping[str, float]:
        """Run the next frame."""
        inputs = self._inputs[next(self._numbers) % len(self._inputs)]
        start = perf_counter()
        self._session(inputs)
        return {"engine": perf_counter() - start}


def _random(spec: TensorSpec, generator: np.random.Generator) -> Array:
    """An array of the input's shape and type: normal numbers, whole numbers from 0 to 1, or any byte."""
    if np.issubdtype(np.dtype(spec.dtype), np.floating):
        return generator.standard_normal(spec.shape).astype(spec.dtype)
    return generator.integers(0, 256 if spec.dtype == "uint8" else 2, spec.shape).astype(spec.dtype)
