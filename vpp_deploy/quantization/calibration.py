"""Ranges of activations, measured while a bundle runs: with the state and the track queries that it really meets."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from vpp_deploy.bundle.manifest import GraphRole
from vpp_deploy.bundle.reader import Bundle
from vpp_deploy.engines.protocols import Array
from vpp_deploy.errors import EngineOutputError
from vpp_deploy.quantization.data import Clip, run_clips
from vpp_deploy.quantization.histogram import AbsoluteHistogram, RangeMethod
from vpp_deploy.quantization.observation import ObservedEngine
from vpp_deploy.quantization.products import Product


@dataclass(frozen=True)
class Calibration:
    """What the activations of a bundle looked like.

    Attributes:
        runs: how often each graph ran.
        histograms: of the inner tensors, by graph and name.
    """

    runs: Mapping[GraphRole, int]
    histograms: Mapping[GraphRole, Mapping[str, AbsoluteHistogram]]

    def ranges(self, role: GraphRole, method: RangeMethod, percentile: float) -> dict[str, float]:
        """The range of each tensor of a graph, see `AbsoluteHistogram.range`."""
        return {name: histogram.range(method, percentile) for name, histogram in self.histograms[role].items()}


def calibrate(
    bundle: Bundle,
    products: Mapping[GraphRole, Sequence[Product]],
    clips: Sequence[Clip],
    progress: Callable[[int], None],
) -> Calibration:
    """Run clips through a bundle, every graph with what it meets, and look at what its products multiply.

    Args:
        bundle: in float32.
        products: whose tensors to look at, by graph.
        clips: what to run.
        progress: called with the number of frames done.

    Raises:
        EngineOutputError: an activation is NaN or infinite.
    """
    tensors = {role: {name for product in found for name in product.tensors} for role, found in products.items()}
    histograms = {role: {name: AbsoluteHistogram() for name in sorted(names)} for role, names in tensors.items()}
    runs = dict.fromkeys(bundle.manifest.roles, 0)

    def observe(role: GraphRole, inputs: Mapping[str, Array], outputs: Mapping[str, Array]) -> None:
        runs[role] += 1
        for name, histogram in histograms[role].items():
            values = inputs[name] if name in inputs else outputs[name]
            if not np.isfinite(values).all():
                raise EngineOutputError(
                    f"the {role} graph of {bundle.path} computes NaN or infinity ({name}) on this data: compare it "
                    "with `vpp-deploy parity`, and look at the weights that were exported"
                )
            histogram.add(values)

    engine = ObservedEngine(bundle, observe, tensors)
    for done in run_clips(engine, clips, restart=True):
        progress(done)
    return Calibration(runs, histograms)
