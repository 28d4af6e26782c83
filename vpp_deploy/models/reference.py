"""The PyTorch reference as an engine: the very module that was exported, with the bundle's own weights."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import count
from typing import Any

import torch
from torch import Tensor

from vpp_deploy.bundle.manifest import Manifest, Phase
from vpp_deploy.bundle.reader import Bundle
from vpp_deploy.engine import Array, HostStream, StreamState
from vpp_deploy.frames import Size
from vpp_deploy.models.backbone import BackboneState
from vpp_deploy.models.checkpoint import load_detector
from vpp_deploy.models.config import DetectorConfig
from vpp_deploy.models.frame_graph import FrameGraph, GraphOptions


class TorchEngine:
    """The reference that every other engine is compared with. Needs PyTorch; runs on the CPU in float32.

    Args:
        bundle: rebuilt from its manifest and its weights file, not from its graphs.

    Raises:
        CheckpointError: the weights file does not fit the configuration in the manifest.
        ConfigError: the configuration in the manifest cannot be read.
    """

    backend = "torch"
    precision = "float32"

    def __init__(self, bundle: Bundle) -> None:
        self._manifest = bundle.manifest
        config = DetectorConfig.from_dict(bundle.manifest.model.config)
        detector = load_detector(config, bundle.weights_path, ignore_prefix="graph/")
        self._graph = FrameGraph(detector, _options(bundle.manifest)).eval()

    @property
    def manifest(self) -> Manifest:
        """The manifest of the bundle."""
        return self._manifest

    @property
    def frame_size(self) -> Size:
        """Height and width in pixels of the frames that the engine takes."""
        return self._manifest.frame_size

    @property
    def graph(self) -> FrameGraph:
        """The module that runs, for measurements inside it."""
        return self._graph

    def open_stream(self) -> HostStream:
        """A new stream with empty state; no weights are copied."""
        return HostStream(self._manifest, self._run_graph)

    def selection_scores(self, inputs: Mapping[str, Array], state: StreamState) -> dict[str, Array]:
        """How the selection points score the tokens of a frame, which the graphs do not put out.

        Args:
            inputs: the frame's inputs, as for `EngineStream.run`.
            state: the stream's state before the frame.

        Returns:
            Scores `[N]` in [0, 1] of each selection point that is active, by name, in the order of the blocks.
        """
        feed = {name: torch.from_numpy(array) for name, array in inputs.items()}
        noise = feed.get("selection_noise")
        tensors = [torch.from_numpy(state.tensors[spec.name]) for spec in self._manifest.state if state.tensors]
        with torch.inference_mode():
            selections = self._graph.detector.backbone(
                self._graph.normalise(feed["frame"], feed["content_size"]).unsqueeze(0),
                BackboneState(*(tensor.unsqueeze(0) for tensor in tensors)) if tensors else None,
                noise=None if noise is None else noise.unsqueeze(1),
            ).selections
        return {selection.name: selection.scores[0].numpy() for selection in selections}

    def mask_decisions(
        self, inputs: Mapping[str, Array], state: StreamState, margin: float
    ) -> list[tuple[int, int, int, float]]:
        """The decisions of the decoder's attention masks that rounding could turn.

        Args:
            inputs: the frame's inputs, as for `EngineStream.run`.
            state: the stream's state before the frame.
            margin: how close to 0 a mask logit must be.

        Returns:
            (layer, query, place on the layer's map, logit) of each, in the order of the layers.
        """
        found: list[tuple[int, int, int, float]] = []

        def collect(layer: int, logits: Tensor) -> None:
            queries, places = torch.nonzero(logits[0].abs() <= margin, as_tuple=True)
            values = logits[0, queries, places]
            found.extend(zip([layer] * len(queries), queries.tolist(), places.tolist(), values.tolist(), strict=True))

        self._run_hooked(inputs, state, collect)
        return found

    def run_with_flipped_masks(
        self, inputs: Mapping[str, Array], state: StreamState, flips: Sequence[tuple[int, int, int]]
    ) -> dict[str, Array]:
        """The outputs of a frame, state excluded, if some decisions of the attention masks went the other way.

        Args:
            inputs: the frame's inputs, as for `EngineStream.run`.
            state: the stream's state before the frame.
            flips: (layer, query, place on the layer's map) of each decision to turn.
        """

        def flip(layer: int, logits: Tensor) -> None:
            for flipped, query, place in flips:
                if flipped == layer:
                    logits[0, query, place] = 1.0 if logits[0, query, place] < 0 else -1.0

        return self._run_hooked(inputs, state, flip)

    def _run_hooked(
        self, inputs: Mapping[str, Array], state: StreamState, visit: Callable[[int, Tensor], None]
    ) -> dict[str, Array]:
        """Run a frame outside any stream; `visit` sees, and may change, the mask logits of each decoder layer."""
        layers = count()

        def hook(_: torch.nn.Module, arguments: tuple[Tensor]) -> tuple[Tensor]:
            logits = arguments[0].clone()
            visit(next(layers), logits)
            return (logits,)

        handle = self._graph.detector.panoptic_head.attention_mask.register_forward_pre_hook(hook)
        try:
            stream = self.open_stream()
            stream.restore(state)
            return stream.run(inputs)
        finally:
            handle.remove()

    def _run_graph(self, phase: Phase, names: Sequence[str], feed: Mapping[str, Array]) -> list[Array]:
        arguments: dict[str, Any] = {name: torch.from_numpy(array) for name, array in feed.items()}
        state = [arguments.pop(spec.input) for spec in self._manifest.state if spec.input in arguments]
        with torch.inference_mode():
            output = self._graph(**arguments, state=BackboneState(*state) if state else None)
        kept = [point.output for point in self._manifest.selection_points if phase in point.phases]
        values = output._asdict() | dict(zip(kept, output.kept, strict=True))
        if output.state is not None:
            values |= dict(zip((spec.output for spec in self._manifest.state), output.state, strict=True))
        return [values[name].numpy() for name in names]


def _options(manifest: Manifest) -> GraphOptions:
    return GraphOptions(
        frame_size=manifest.frame_size,
        max_tracks=manifest.detection.max_tracks,
        max_detections=manifest.detection.max_detections,
        new_score=manifest.tracker.new_score,
        track_score=manifest.tracker.track_score,
        selection_noise=any(tensor.name == "selection_noise" for tensor in manifest.graphs["step"].inputs),
    )
