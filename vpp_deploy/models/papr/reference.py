"""The PyTorch reference of a PaPr bundle as an engine: the very module that was exported, with the bundle's weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from vpp_deploy.bundle.manifest import Phase
from vpp_deploy.bundle.papr_manifest import PaprManifest
from vpp_deploy.bundle.reader import Bundle
from vpp_deploy.engine import Array, HostStream
from vpp_deploy.frames import Size
from vpp_deploy.models.checkpoint import read_checkpoint
from vpp_deploy.models.papr.catalogue import unfilled_model
from vpp_deploy.models.papr.classifier_graph import ClassifierGraph
from vpp_deploy.models.papr.config import PaprConfig
from vpp_deploy.models.papr.weights import load_strictly


class PaprTorchEngine:
    """The reference that every other engine of a PaPr bundle is compared with. Runs on the CPU in float32.

    Args:
        bundle: rebuilt from its manifest and its weights file, not from its graph.

    Raises:
        UsageError: the bundle is not of family `papr`.
        CheckpointError: the weights file does not fit the configuration in the manifest.
        ConfigError, ExportError: the configuration in the manifest does not make a model.
    """

    backend = "torch"
    precision = "float32"

    def __init__(self, bundle: Bundle) -> None:
        self._manifest = PaprManifest.of(bundle.manifest, "PaprTorchEngine")
        model = unfilled_model(PaprConfig.from_dict(self._manifest.model.config))
        tensors = read_checkpoint(bundle.weights_path)
        own = {name: tensor for name, tensor in tensors.items() if not name.startswith("graph/")}
        load_strictly(model, own, bundle.weights_path)
        self._graph = ClassifierGraph(model.requires_grad_(False), self._manifest.preprocessing)

    @property
    def manifest(self) -> PaprManifest:
        """The manifest of the bundle."""
        return self._manifest

    @property
    def frame_size(self) -> Size:
        """Height and width in pixels of the pictures that the engine takes."""
        return self._manifest.frame_size

    @property
    def graph(self) -> ClassifierGraph:
        """The module that runs."""
        return self._graph

    def open_stream(self) -> HostStream:
        """A new stream; no weights are copied. Streams of one engine must not run at the same time."""
        return HostStream(self._manifest, self._run_graph)

    def rerun(self, inputs: Mapping[str, Array], kept: Mapping[str, Array]) -> dict[str, Array]:
        """The outputs, had other patches been kept: it proves that a difference follows from that choice alone.

        It hooks the shared modules while it runs: no stream of this engine may run at the same time.

        Args:
            inputs: as for `EngineStream.run`.
            kept: positions `[B, K]` int32 of each pruning point, by its name.
        """
        choices = iter([kept[point.name] for point in self._manifest.pruning_points])

        def choose(_: nn.Module, arguments: tuple[Any, ...], chosen: Tensor) -> Tensor:
            return torch.from_numpy(next(choices)).to(chosen.dtype)

        base: Any = self._graph.model.base
        hook = base.selection.register_forward_hook(choose)
        try:
            return self.open_stream().run(inputs)
        finally:
            hook.remove()

    def _run_graph(self, phase: Phase, names: Sequence[str], feed: Mapping[str, Array]) -> list[Array]:
        (pixels,) = feed.values()
        with torch.inference_mode():
            output = self._graph(torch.from_numpy(pixels))
        values = {"logits": output.logits}
        points = self._manifest.pruning_points
        for point, significance, kept in zip(points, output.significance, output.kept, strict=True):
            values |= {point.significance_output: significance, point.kept_output: kept}
        return [values[name].numpy() for name in names]
